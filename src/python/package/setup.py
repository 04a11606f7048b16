from setuptools import Distribution, setup


class Prebuilt(Distribution):
    """The extension is there already, so the wheel is for this Python and this machine."""

    def has_ext_modules(self):
        return True


setup(distclass=Prebuilt)
