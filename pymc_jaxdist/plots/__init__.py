"""The pictures a modeller needs of a fitted model.

matplotlib is imported when a picture is drawn, so the package works without it.
"""

from pymc_jaxdist.plots.forecast import plot_forecast
from pymc_jaxdist.plots.pseudo_residuals import plot_pseudo_residuals
from pymc_jaxdist.plots.solution import plot_solution
from pymc_jaxdist.plots.state_densities import plot_state_densities
from pymc_jaxdist.plots.state_probabilities import plot_state_probabilities
from pymc_jaxdist.plots.transition_matrix import plot_transition_matrix

__all__ = [
    "plot_forecast",
    "plot_pseudo_residuals",
    "plot_solution",
    "plot_state_densities",
    "plot_state_probabilities",
    "plot_transition_matrix",
]
