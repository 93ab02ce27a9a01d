"""Builds the example in place: python setup.py build_ext --inplace."""

from Cython.Build import cythonize
from setuptools import Extension, setup

# No include directory is needed: Cython finds fastframe/_codec_c.pxd where fastframe is installed.
setup(
    name="survey",
    ext_modules=cythonize([Extension("survey", ["survey.pyx"])], build_dir="build"),
)
