"""Small Hugging Face models of every usual kind, built from a configuration: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peft
import torch
import transformers as hf
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.unit.train.clipping.zoo import Case

WORDS, LENGTH, ROWS, PAD = 50, 9, 5, 0
_SHAPE = {
    "vocab_size": WORDS,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
}
_GROUPED = _SHAPE | {"num_key_value_heads": 1, "head_dim": 8}


def texts() -> dict[str, torch.Tensor]:
    """Return sequences of several lengths, padded at the end, and the mask that says where."""
    lengths = torch.tensor([LENGTH, 4, 7, LENGTH, 2])
    mask = (torch.arange(LENGTH) < lengths[:, None]).long()
    return {"input_ids": torch.randint(1, WORDS, (ROWS, LENGTH)) * mask, "attention_mask": mask}


def words(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The mean cross entropy of each sequence's words; padding does not count."""
    ids, mask = batch["input_ids"], batch["attention_mask"]
    scores = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    each = F.cross_entropy(scores[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
    there = mask[:, 1:]
    return (each * there).sum(1) / there.sum(1)


def classes(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The cross entropy of each sequence's class."""
    scores = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return F.cross_entropy(scores, batch["input_ids"][:, 0] % 2, reduction="none")


def answers(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The mean cross entropy of what a decoder says to each sequence: the sequence itself."""
    ids, mask = batch["input_ids"], batch["attention_mask"]
    scores = model(input_ids=ids, attention_mask=mask, decoder_input_ids=ids, use_cache=False).logits
    each = F.cross_entropy(scores[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
    return (each * mask[:, 1:]).sum(1) / mask[:, 1:].sum(1)


def pictures(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """The cross entropy of each picture's class."""
    return F.cross_entropy(model(pixel_values=batch).logits, (batch[:, 0, 0, 0] > 0).long(), reduction="none")


def _gpt2() -> nn.Module:
    return hf.GPT2LMHeadModel(
        hf.GPT2Config(vocab_size=WORDS, n_embd=16, n_layer=2, n_head=2, n_positions=32, bos_token_id=1, eos_token_id=1)
    )


def _bert() -> nn.Module:
    return hf.BertForSequenceClassification(hf.BertConfig(**_SHAPE))


def _t5() -> nn.Module:
    return hf.T5ForConditionalGeneration(
        hf.T5Config(vocab_size=WORDS, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0)
    )


def _vit() -> nn.Module:
    shape = {name: value for name, value in _SHAPE.items() if name not in ("vocab_size", "max_position_embeddings")}
    return hf.ViTForImageClassification(hf.ViTConfig(**shape, image_size=16, patch_size=4, num_labels=3))


def _adapted(base: nn.Module, **settings: Any) -> nn.Module:
    """A frozen model with adapters, moved away from the zeros they start with."""
    model = peft.get_peft_model(base, peft.LoraConfig(r=2, **settings))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)
    return model


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[Any, Any], torch.Tensor]]] = {
    "gpt-2, tied": (_gpt2, words),
    "llama, tied": (lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**_GROUPED, tie_word_embeddings=True)), words),
    "gemma 2, tied": (lambda: hf.Gemma2ForCausalLM(hf.Gemma2Config(**_GROUPED)), words),
    "vaultgemma": (lambda: hf.VaultGemmaForCausalLM(hf.VaultGemmaConfig(**_GROUPED)), words),
    "qwen 2": (lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**(_SHAPE | {"num_key_value_heads": 1}))), words),
    "bert": (_bert, classes),
    "distilbert": (
        lambda: hf.DistilBertForSequenceClassification(
            hf.DistilBertConfig(
                vocab_size=WORDS, dim=16, hidden_dim=32, n_layers=2, n_heads=2, max_position_embeddings=32
            )
        ),
        classes,
    ),
    "t5": (_t5, answers),
    "vit": (_vit, pictures),
    "gpt-2 with lora": (
        lambda: _adapted(_gpt2(), target_modules=["c_attn", "c_fc"], fan_in_fan_out=True, task_type="CAUSAL_LM"),
        words,
    ),
    "llama with lora": (
        lambda: _adapted(
            hf.LlamaForCausalLM(hf.LlamaConfig(**_GROUPED)), target_modules="all-linear", task_type="CAUSAL_LM"
        ),
        words,
    ),
    "bert with lora, its head trained": (
        lambda: _adapted(_bert(), target_modules=["query", "value"], task_type="SEQ_CLS"),
        classes,
    ),
    "t5 with lora": (lambda: _adapted(_t5(), target_modules=["q", "v"], task_type="SEQ_2_SEQ_LM"), answers),
}


def build(name: str) -> Case:
    """Return a model, the same every time, with scales and shifts that are not ones and zeros."""
    torch.manual_seed(0)
    make, loss = MODELS[name]
    model = make().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    batch: Any = texts() if loss is not pictures else torch.randn(ROWS, 3, 16, 16)
    return Case(model, batch, loss)
