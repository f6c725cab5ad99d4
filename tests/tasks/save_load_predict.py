import eqprop as eq
from eqprop.papers.foundation.recipes import digits

run = eq.fit(digits(hidden=(16,), epochs=1), "run")
labels = eq.load("run").predict(digits().data.load().test.x)
