"""Discrete variables with structure: one table, Markov chains, Bayesian networks, naive Bayes."""

from genlib.models.graphical.bayes_net import BayesNet, MarkovChain
from genlib.models.graphical.naive_bayes import NaiveBayes
from genlib.models.graphical.tables import Categorical
from genlib.models.graphical.trees import chow_liu, mutual_information

__all__ = ["BayesNet", "Categorical", "MarkovChain", "NaiveBayes", "chow_liu", "mutual_information"]
