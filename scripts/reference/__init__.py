"""How the reference models in `models/` are made: recipes, text, training, export."""
