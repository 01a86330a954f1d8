-- The work of sysbench's test cpu: it tries numbers up to 2,000 for primes.
event = progress(function()
	for number = 3, 2000 do
		local divisor, last = 2, math.sqrt(number)
		while divisor <= last and number % divisor ~= 0 do
			divisor = divisor + 1
		end
	end
end, 10)
