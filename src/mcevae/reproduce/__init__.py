"""`mcevae reproduce`: the paper's experiments and its rivals on the same data, budgets and scores.

One cell is a model, a group and a seed (`grid`); it is trained and scored once (`cells`), and what
it left is drawn (`plots`) and tabulated (`tables`). `floors` are clusterings without training.
"""
