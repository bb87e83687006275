"""A Gaussian process for a few hundred points of mixed coordinates, fitted in milliseconds.

Matérn 5/2 kernel, a length scale a hyperparameter; categories are equal or not. The scales are those of the
highest posterior, with the prior on lengths of Hvarfner et al. (2024), good in many dimensions; those of the
highest likelihood overfit a few trials. scikit-learn's process takes 2 ms for one likelihood with gradient at
50 points, of which a fit asks for some forty; this takes 0.5 ms, as the distances are computed once.
"""

from __future__ import annotations

import math
from copy import copy

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

Array = NDArray[np.float64]
_SQRT5 = math.sqrt(5.0)
_JITTER = 1e-6
_NOISE_PRIOR = (-4.0, 1.0)
"""Mean and standard deviation of the logarithm of the noise's variance, the objective's being 1."""
_MOST_STEPS = 40


class GaussianProcess:
    """A posterior over functions of the features, `(n, d)`.

    Args:
        x: Where it was measured.
        y: What, `(n,)`, standardised.
        categorical: Which columns are categories, `(d,)`.
        fitted: Another process whose scales to take over. Default: they are fitted.
    """

    def __init__(
        self, x: Array, y: Array, categorical: NDArray[np.bool_], *, fitted: GaussianProcess | None = None
    ) -> None:
        self._categorical = categorical
        self._theta: Array = fitted._theta if fitted is not None else self._fit(x, y)
        self._condition(x, y, np.full(len(x), self._noise))

    def believing(self, x: Array, y: Array) -> GaussianProcess:
        """Returns the process that has been told more, without noise: `(m, d)` and `(m,)`."""
        told = copy(self)
        noise = np.concatenate([self._noises, np.full(len(x), _JITTER)])
        told._condition(np.concatenate([self._x, x]), np.concatenate([self._y, y]), noise)
        return told

    def _condition(self, x: Array, y: Array, noise: Array) -> None:
        self._x, self._y, self._noises = x, y, noise
        covariance = self._kernel(self._distances(x, x)) + np.diag(noise)
        self._factor = cholesky(covariance, lower=True, check_finite=False)
        self._alpha = cho_solve((self._factor, True), y, check_finite=False)

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Returns mean and standard deviation of the function, without noise, at `(m, d)`: each `(m,)`."""
        cross = self._kernel(self._distances(x, self._x))
        whitened = solve_triangular(self._factor, cross.T, lower=True, check_finite=False)
        variance = self._scale - np.einsum("ij,ij->j", whitened, whitened)
        return cross @ self._alpha, np.sqrt(np.maximum(variance, 1e-12))

    @property
    def _scale(self) -> float:
        return math.exp(self._theta[-2])

    @property
    def _noise(self) -> float:
        return math.exp(self._theta[-1]) + _JITTER

    def _distances(self, a: Array, b: Array) -> Array:
        """Returns the scaled squared distances, `(n, m)`."""
        weights = np.exp(self._theta[:-2])
        numeric = ~self._categorical
        p, q = a[:, numeric] * np.sqrt(weights[numeric]), b[:, numeric] * np.sqrt(weights[numeric])
        found = (p**2).sum(1)[:, None] + (q**2).sum(1)[None, :] - 2.0 * p @ q.T
        for column in np.flatnonzero(self._categorical):
            found += weights[column] * (a[:, column, None] != b[None, :, column])
        squared: Array = np.maximum(found, 0.0)
        return squared

    def _kernel(self, squared: Array) -> Array:
        r = np.sqrt(squared)
        r *= _SQRT5
        kernel: Array = r / 3.0  # in place from here: the matrices are large
        kernel += 1.0
        kernel *= r
        kernel += 1.0
        kernel *= np.exp(np.negative(r, out=r), out=r)
        kernel *= self._scale
        return kernel

    def _fit(self, x: Array, y: Array) -> Array:
        """Returns logarithms: of the inverse squared length scales, the function's variance, the noise's."""
        n, d = x.shape
        each = np.stack(
            [
                (x[:, i, None] != x[None, :, i]).astype(float)
                if category
                else (x[:, i, None] - x[None, :, i]) ** 2
                for i, category in enumerate(self._categorical)
            ]
        ).reshape(d, n * n)
        # A length's logarithm has the mean sqrt(2) + log(d) / 2 and the variance 3; theta is -2 of it.
        middle, spread = -2.0 * (math.sqrt(2.0) + math.log(d) / 2.0), 2.0 * math.sqrt(3.0)
        means = np.array([*[middle] * d, 0.0, _NOISE_PRIOR[0]])
        deviations = np.array([*[spread] * d, 1.0, _NOISE_PRIOR[1]])
        diagonal = np.arange(n)

        def loss(theta: Array) -> tuple[float, Array]:
            scale, noise = math.exp(theta[-2]), math.exp(theta[-1]) + _JITTER
            weights = np.exp(theta[:-2])
            r = _SQRT5 * np.sqrt(weights @ each).reshape(n, n)
            decay = scale * np.exp(-r)
            kernel = decay * (1.0 + r + r * r / 3.0)
            noisy = kernel.copy()
            noisy[diagonal, diagonal] += noise
            try:
                factor = cholesky(noisy, lower=True, overwrite_a=True, check_finite=False)
            except np.linalg.LinAlgError:
                return 1e10, np.zeros_like(theta)
            inverse = _inverse(factor)
            alpha = inverse @ y
            outer = inverse - np.outer(alpha, alpha)
            slope = (outer * (decay * (1.0 + r) * (-5.0 / 6.0))).reshape(-1)
            gradient = np.empty_like(theta)
            gradient[:-2] = 0.5 * weights * (each @ slope)
            gradient[-2] = 0.5 * float((outer * kernel).sum())
            gradient[-1] = 0.5 * (noise - _JITTER) * float(np.trace(outer))
            prior = (theta - means) / deviations
            value = 0.5 * float(y @ alpha) + float(np.log(np.diag(factor)).sum()) + 0.5 * float(prior @ prior)
            return value, gradient + prior / deviations

        start = np.array([*[min(max(middle, -2.0), 2.0)] * d, 0.0, _NOISE_PRIOR[0]])
        bounds = [*[(-10.0, 6.0)] * d, (-4.0, 4.0), (-12.0, 1.0)]
        found = minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _MOST_STEPS}
        )
        theta: Array = found.x
        return theta


def _inverse(factor: Array) -> Array:
    """Returns the inverse of the matrix whose lower Cholesky factor this is, `(n, n)`."""
    lower, _ = dpotri(factor, lower=True)
    inverse: Array = np.tril(lower) + np.tril(lower, -1).T
    return inverse
