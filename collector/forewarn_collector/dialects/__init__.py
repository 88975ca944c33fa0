"""How other instrumentations speak: tables of their attribute names, and what is made from them."""
