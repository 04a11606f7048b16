"""The published JAX implementation of CRONOS (CC0), run as it is from a checkout of its own.

Its packages' __init__ files import flax, optax, loaders of images and more; the solver needs none of them.
Empty packages stand in for them, with the few names that the solver's files ask for, so that no file is changed.
Of its two drivers, `optimizers/admm.py` runs as published, one operation after the other; `optimizers/cronos.py` has the
iteration compiled as a whole, but raises an error for labels -1 / +1 (its metrics are for ten classes) and without
validation rows: with its metrics replaced by an observer it runs, and is the faster one.
"""

import contextlib
import importlib
import io
import os
import pathlib
import subprocess
import sys
import time
import types

import jax
import jax.numpy as jnp

REPOSITORY = "https://github.com/pilancilab/CRONOS"
COMMIT = "ffeb4a49696619fb0d39bd784dcea4df3945043b"
DRIVERS = ("admm", "cronos")
# As published but for rho, of which there are two: the code's and the paper's.
GATES, BETA, RHOS = 10, 1e-3, (1e-4, 1e-2)
SETTINGS = {"rank": 20, "beta": BETA, "gamma_ratio": 1, "admm_iters": 6, "pcg_iters": 32, "check_opt": False,
            "verbose": False}


def clone():
    """The pinned commit, in the cache."""
    cache = pathlib.Path(os.environ.get("COALA_CACHE") or pathlib.Path(
        os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "coala")
    folder = cache / f"cronos-{COMMIT[:12]}"
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        subprocess.run(["rm", "-rf", partial], check=True)
        subprocess.run(["git", "clone", "--quiet", REPOSITORY, partial], check=True)
        subprocess.run(["git", "-C", partial, "checkout", "--quiet", COMMIT], check=True)
        partial.rename(folder)
    return folder


class PublishedCronos:
    """@param checkout  folder of a checkout, or None: cloned into the cache."""

    def __init__(self, checkout):
        checkout = pathlib.Path(checkout or clone())
        for name in ("models", "optimizers", "preconditioner", "utils"):
            package = types.ModuleType(name)
            package.__path__ = [str(checkout / name)]
            sys.modules[name] = package
        wanted = {"utils": {"linops_utils": ["tensor_to_vec", "vec_to_tensor"],
                            "metric_utils": ["mse", "compute_bin_acc"], "proximal_utils": ["proxl2_tensor"]},
                  "preconditioner": {"nystrom": ["Nys_Precond", "rand_nys_appx"]}}
        for package, files in wanted.items():
            for file, names in files.items():
                module = importlib.import_module(f"{package}.{file}")
                for name in names:
                    setattr(sys.modules[package], name, getattr(module, name))
        self.transform = importlib.import_module("utils.model_utils").relu_optimal_weights_transform
        self.model_class = importlib.import_module("models.cvx_relu_mlp").CVX_ReLU_MLP
        self.drivers = {name: importlib.import_module(f"optimizers.{name}") for name in DRIVERS}

    def fit(self, driver, x, y, rho, seed, observe=lambda u: None):
        """Six ADMM iterations from arrays in memory: the iterate u and the seconds of the solve.
        @param observe  called with the iterate before the first and after every iteration (only by "cronos")"""
        def record(metrics, u, model):
            observe(u)
            for values in (metrics["val_acc"], metrics["val_loss"]):
                values.append(0.0)
            return metrics

        model = self.model_class(x, y, GATES, BETA, rho, jax.random.key(seed))
        with contextlib.redirect_stdout(io.StringIO()):  # it prints shapes while it is compiled
            start = time.perf_counter()
            model.init_model()
            if driver == "admm":
                u, _ = self.drivers[driver].admm(model, SETTINGS)
            else:
                model.Xval = x[:1]  # unused, but there must be one
                self.drivers[driver].compute_validation_metrics = record
                u, _ = self.drivers[driver].run(model, SETTINGS, "CReLU")
            u = jax.block_until_ready(u)
            seconds = time.perf_counter() - start
        return u, seconds

    def accuracy(self, u, x, y):
        theta1, theta2 = self.transform(u[0], u[1])
        return float(jnp.mean(jnp.sign(jax.nn.relu(x @ theta1) @ theta2) == y))
