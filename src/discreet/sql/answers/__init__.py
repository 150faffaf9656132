"""From exact integers to what is released: noise, draws, groups found, numbers that agree, and their intervals."""
