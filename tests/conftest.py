"""What holds for every test."""

from hypothesis import HealthCheck, settings

# How fast this machine is, is no property of the code: a busy one must not fail a test by its clock.
settings.register_profile("sansio_sip", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sansio_sip")
