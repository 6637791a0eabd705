"""`mcevae reproduce`: the paper's experiments, with all models on the same data, time and scores.

A cell is a model (`entries`), a protocol, which says how images are posed (`protocols`), and a seed
(`grid`). It is trained and scored once (`cells`). Its results are drawn (`plots`) and put into
tables (`tables`). `floors` are clusterings without a model.
"""
