"""Where schedulers in databases that were made before the first release are found."""

from collective.background.database.scheduler import PersistentTransactionalScheduler


__all__ = ["PersistentTransactionalScheduler"]
