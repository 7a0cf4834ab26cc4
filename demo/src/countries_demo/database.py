"""The SQL database: where the countries come from.

It stands for whatever a real project imports from, and the add-on only reads
it. Zope's transaction is also that of the SQL session: ``zope.sqlalchemy``
joins it when the session is first used, and closes the session at its end.
So a task needs no other code than a request.
"""

from App.config import getConfiguration
from sqlalchemy import create_engine
from sqlalchemy import ForeignKey
from sqlalchemy import func
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column
from sqlalchemy.orm import relationship
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import Session as PlainSession
from sqlalchemy.orm import sessionmaker
from zope.sqlalchemy import register

import os
import pycountry


# The engine belongs to the process, a session to one thread: never pass a
# session, or an object that came from it, to a task. Pass keys.
Session = scoped_session(sessionmaker())
register(Session)


class Base(DeclarativeBase):
    """The tables of this module."""


class Country(Base):
    __tablename__ = "country"

    alpha_2: Mapped[str] = mapped_column(primary_key=True)
    alpha_3: Mapped[str] = mapped_column(unique=True)
    numeric: Mapped[str]
    name: Mapped[str]
    official_name: Mapped[str | None]
    flag: Mapped[str]
    subdivisions: Mapped[list["Subdivision"]] = relationship(
        order_by="Subdivision.code"
    )


class Subdivision(Base):
    __tablename__ = "subdivision"

    code: Mapped[str] = mapped_column(primary_key=True)
    country_code: Mapped[str] = mapped_column(ForeignKey("country.alpha_2"), index=True)
    name: Mapped[str]
    type: Mapped[str]
    parent_code: Mapped[str | None]


def connect(event):
    """Called when Zope has opened its own database: once in every process."""
    path = os.path.join(getConfiguration().clienthome, "countries.sqlite")
    Session.configure(bind=open_database(f"sqlite:///{path}"))


def open_database(url):
    """Return the engine of an SQLite database, which is filled if it is new."""
    engine = create_engine(url)
    # A session of its own: this is not part of any transaction of Zope's.
    with PlainSession(engine) as session, session.begin():
        connection = session.connection()
        # Processes that start at once in a new client home take turns: the lock for
        # writing is taken before anything is looked at.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        Base.metadata.create_all(connection)
        if session.scalar(select(func.count(Country.alpha_2))) == 0:
            session.add_all(countries_of_iso_3166())
    return engine


def countries_of_iso_3166():
    """Yield all countries, with their subdivisions, as pycountry knows them."""
    for country in pycountry.countries:
        yield Country(
            alpha_2=country.alpha_2,
            alpha_3=country.alpha_3,
            numeric=country.numeric,
            name=country.name,
            official_name=getattr(country, "official_name", None),
            flag=country.flag,
            subdivisions=[
                Subdivision(
                    code=subdivision.code,
                    name=subdivision.name,
                    type=subdivision.type,
                    parent_code=subdivision.parent_code,
                )
                for subdivision in pycountry.subdivisions.get(
                    country_code=country.alpha_2
                )
            ],
        )


def count_countries():
    return Session.scalar(select(func.count(Country.alpha_2)))


def first_codes(number):
    """Return the codes of the first ``number`` countries by name."""
    query = select(Country.alpha_2).order_by(Country.name).limit(number)
    return Session.scalars(query).all()


def get_country(code):
    """Return the Country with this code of two letters."""
    return Session.get_one(Country, code)
