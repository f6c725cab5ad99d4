eq.fit(digits(hidden=(16,), epochs=2), "run", resume=True)
