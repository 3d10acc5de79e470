"""Small real data sets, shipped with the package for examples and tests.

Each function returns a record of NumPy arrays. Nothing is downloaded. ``published`` holds
results from the literature for the same data, which the test suite reproduces.

>>> from pymc_jaxdist import datasets
>>> quakes = datasets.load_earthquakes()
>>> quakes.count.shape
(107,)
>>> print(quakes.description)
Major earthquakes (magnitude 7 or more) in the world per year, 1900-2006
"""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Earthquakes",
    "FedFunds",
    "HmmExample",
    "HudsonLynxHare",
    "Influenza1978",
    "Theophylline",
    "load_earthquakes",
    "load_fedfunds",
    "load_hmm_example",
    "load_hudson_lynx_hare",
    "load_influenza_1978",
    "load_theophylline",
]


@dataclass(frozen=True, eq=False)
class Earthquakes:
    """Yearly counts of major earthquakes.

    Attributes
    ----------
    year : ndarray of int, shape (107,)
        1900 to 2006.
    count : ndarray of int, shape (107,)
        Earthquakes of magnitude 7 or more in that year, over the whole world.
    description, source : str
        What the numbers are and where they come from.
    published : dict
        ``minus_log_lik``, ``AIC`` and ``BIC`` of stationary Poisson hidden Markov models by number
        of states, and the fitted rates and stationary distributions for two and three states.
    """

    year: NDArray[np.int64]
    count: NDArray[np.int64]
    description: str
    source: str
    published: dict[str, Any]


@dataclass(frozen=True, eq=False)
class FedFunds:
    """Quarterly US federal funds rate.

    Attributes
    ----------
    year : ndarray of float, shape (226,)
        Start of the quarter in decimal years: 1954.5 is the third quarter of 1954.
    rate : ndarray of float, shape (226,)
        Federal funds rate in percent.
    description, source : str
        What the numbers are and where they come from.
    published : dict
        Parameters of a Gaussian model with two regimes and its log-likelihood there.
    """

    year: NDArray[np.float64]
    rate: NDArray[np.float64]
    description: str
    source: str
    published: dict[str, Any]


@dataclass(frozen=True, eq=False)
class HmmExample:
    """Simulated Gaussian series with two hidden states.

    Attributes
    ----------
    y : ndarray of float, shape (100,)
        The series.
    description, source : str
        What the numbers are and where they come from.
    published : dict
        The model, with its priors, and the reference posterior of each parameter.
    """

    y: NDArray[np.float64]
    description: str
    source: str
    published: dict[str, Any]


@dataclass(frozen=True, eq=False)
class HudsonLynxHare:
    """Yearly pelts of snowshoe hare and Canada lynx.

    Attributes
    ----------
    year : ndarray of int, shape (21,)
        1900 to 1920. The usual time axis of the Lotka-Volterra model is ``year - 1900``.
    pelts : ndarray of float, shape (21, 2)
        Thousands of pelts; column 0 is hare, column 1 is lynx.
    description, source : str
        What the numbers are and where they come from.
    published : dict
        The model, with its priors, and the reference posterior of each parameter.
    """

    year: NDArray[np.int64]
    pelts: NDArray[np.float64]
    description: str
    source: str
    published: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Influenza1978:
    """Daily influenza cases in an English boarding school.

    Attributes
    ----------
    day : ndarray of int, shape (14,)
        1 is 22 January 1978.
    in_bed : ndarray of int, shape (14,)
        Pupils confined to bed on that day.
    population : int
        Number of pupils, 763.
    y0 : ndarray of int, shape (3,)
        Susceptible, infectious and recovered pupils on day 0.
    description, source : str
        What the numbers are and where they come from.
    published : dict
        The SIR model, with its priors, and posterior means and standard deviations.
    """

    day: NDArray[np.int64]
    in_bed: NDArray[np.int64]
    population: int
    y0: NDArray[np.int64]
    description: str
    source: str
    published: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Theophylline:
    """Theophylline concentrations after one oral dose.

    Attributes
    ----------
    time : ndarray of float, shape (12, 11)
        Hours since the dose; one row per subject.
    concentration : ndarray of float, shape (12, 11)
        Serum concentration in mg/L.
    dose : ndarray of float, shape (12,)
        Dose in mg per kg of body weight.
    weight : ndarray of float, shape (12,)
        Body weight in kg.
    description, source : str
        What the numbers are and where they come from.
    published : dict
        Fixed effects of the one-compartment model: logarithms of the elimination rate, the
        absorption rate and the clearance.
    """

    time: NDArray[np.float64]
    concentration: NDArray[np.float64]
    dose: NDArray[np.float64]
    weight: NDArray[np.float64]
    description: str
    source: str
    published: dict[str, Any]


def _read(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the numbers of a data set, and its description, source and published results."""
    text = files("pymc_jaxdist").joinpath("data", f"{name}.json").read_text(encoding="utf-8")
    about = json.loads(text)
    return about.pop("data"), about


def load_earthquakes() -> Earthquakes:
    """Load major earthquakes per year, 1900-2006.

    The standard example of a hidden Markov model for counts: the rate of earthquakes stays high or
    low for years at a time, so that neighbouring counts are alike and the counts vary more than a
    Poisson distribution allows.

    Returns
    -------
    Earthquakes
        ``year`` and ``count``, each of shape (107,).

    References
    ----------
    .. [1] Zucchini, W., MacDonald, I. L. and Langrock, R. (2016). Hidden Markov Models for Time
       Series: An Introduction Using R, second edition. Chapman & Hall/CRC.

    Examples
    --------
    >>> from pymc_jaxdist.datasets import load_earthquakes
    >>> quakes = load_earthquakes()
    >>> quakes.year[:3], quakes.count[:3]
    (array([1900, 1901, 1902]), array([13, 14,  8]))
    >>> bool(quakes.count.var() > 2 * quakes.count.mean())
    True
    """
    data, about = _read("earthquakes")
    return Earthquakes(year=np.array(data["year"]), count=np.array(data["count"]), **about)


def load_fedfunds() -> FedFunds:
    """Load the US federal funds rate per quarter, 1954 Q3 to 2010 Q4.

    Returns
    -------
    FedFunds
        ``year`` and ``rate``, each of shape (226,).

    References
    ----------
    .. [1] StataCorp. Stata Time-Series Reference Manual, mswitch: Markov-switching regression
       models.

    Examples
    --------
    >>> from pymc_jaxdist.datasets import load_fedfunds
    >>> funds = load_fedfunds()
    >>> funds.rate.shape
    (226,)
    >>> float(funds.year[funds.rate.argmax()]), float(funds.rate.max())
    (1981.25, 17.78)
    """
    data, about = _read("fedfunds")
    rate = np.array(data["rate"])
    quarters = np.arange(rate.size, dtype=np.float64)
    return FedFunds(year=1954.5 + quarters / 4, rate=rate, **about)


def load_hmm_example() -> HmmExample:
    """Load a simulated Gaussian series with two hidden states, from posteriordb.

    Returns
    -------
    HmmExample
        ``y`` of shape (100,).

    References
    ----------
    .. [1] Magnusson, M., Bürkner, P. and Vehtari, A. posteriordb: a set of posteriors for Bayesian
       inference and probabilistic programming. Posterior ``hmm_example-hmm_example``.

    Examples
    --------
    >>> from pymc_jaxdist.datasets import load_hmm_example
    >>> load_hmm_example().y.shape
    (100,)
    """
    data, about = _read("hmm_example")
    return HmmExample(y=np.array(data["y"]), **about)


def load_hudson_lynx_hare() -> HudsonLynxHare:
    """Load pelts of snowshoe hare and Canada lynx per year, 1900-1920.

    The standard example of a predator and its prey: the lynx follow the hares with a delay, in
    cycles of about ten years.

    Returns
    -------
    HudsonLynxHare
        ``year`` of shape (21,) and ``pelts`` of shape (21, 2), hare first.

    References
    ----------
    .. [1] Elton, C. and Nicholson, M. (1942). The ten-year cycle in numbers of the lynx in Canada.
       Journal of Animal Ecology 11, 215-244.
    .. [2] Howard, P. (2009). Modeling basics. Lecture notes, Texas A&M University.

    Examples
    --------
    >>> from pymc_jaxdist.datasets import load_hudson_lynx_hare
    >>> pelts = load_hudson_lynx_hare()
    >>> hare, lynx = pelts.pelts.T
    >>> pelts.year[hare.argmax()], pelts.year[lynx.argmax()]
    (np.int64(1903), np.int64(1904))
    """
    data, about = _read("hudson_lynx_hare")
    return HudsonLynxHare(year=np.array(data["year"]), pelts=np.array(data["pelts"]), **about)


def load_influenza_1978() -> Influenza1978:
    """Load pupils in bed with influenza per day in an English boarding school, 1978.

    The standard example of the SIR model: an epidemic in a closed population of 763 boys.

    Returns
    -------
    Influenza1978
        ``day`` and ``in_bed`` of shape (14,), ``population`` and ``y0`` of shape (3,).

    References
    ----------
    .. [1] Anonymous (1978). Influenza in a boarding school. British Medical Journal, 4 March, 587.
    .. [2] Grinsztajn, L., Semenova, E., Margossian, C. C. and Riou, J. (2021). Bayesian workflow
       for disease transmission modeling in Stan. Statistics in Medicine 40, 6209-6234.

    Examples
    --------
    >>> from pymc_jaxdist.datasets import load_influenza_1978
    >>> flu = load_influenza_1978()
    >>> flu.in_bed.max(), flu.day[flu.in_bed.argmax()]
    (np.int64(298), np.int64(6))
    """
    data, about = _read("influenza_1978")
    return Influenza1978(
        day=np.array(data["day"]),
        in_bed=np.array(data["in_bed"]),
        population=data["population"],
        y0=np.array(data["y0"]),
        **about,
    )


def load_theophylline() -> Theophylline:
    """Load theophylline concentrations of 12 subjects after one oral dose.

    The standard example of population pharmacokinetics: a one-compartment model with absorption
    and elimination rates that vary between subjects.

    Returns
    -------
    Theophylline
        ``time`` and ``concentration`` of shape (12, 11), ``dose`` and ``weight`` of shape (12,).

    References
    ----------
    .. [1] Boeckmann, A. J., Sheiner, L. B. and Beal, S. L. (1994). NONMEM Users Guide: Part V.
       University of California, San Francisco.
    .. [2] Pinheiro, J. C. and Bates, D. M. (2000). Mixed-Effects Models in S and S-PLUS. Springer.

    Examples
    --------
    >>> from pymc_jaxdist.datasets import load_theophylline
    >>> theophylline = load_theophylline()
    >>> theophylline.concentration.shape
    (12, 11)
    """
    data, about = _read("theophylline")
    return Theophylline(
        time=np.array(data["time_h"]),
        concentration=np.array(data["concentration_mg_per_L"]),
        dose=np.array(data["dose_mg_per_kg"]),
        weight=np.array(data["weight_kg"]),
        **about,
    )
