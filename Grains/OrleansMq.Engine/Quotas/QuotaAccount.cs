namespace OrleansMq.Quotas;

/// <summary>What one scope has used of one limit on this broker. Thread safe.</summary>
internal sealed class QuotaAccount
{
    private readonly Lock _lock = new();
    private readonly TimeProvider _clock;
    private readonly long _began;
    private readonly SlidingRate _used = new();
    private readonly ActiveProducerIds? _producers;
    private readonly Queue<TaskCompletionSource> _readers = new();
    private TokenBucket _bucket;
    // Those in progress.
    private int _reads;
    private double _passed;
    private double _limit;
    // Since the last call of LookAgain.
    private bool _isLimited;
    private bool _isUsed = true;
    private volatile bool _isRetired;

    /// <param name="key">What is limited.</param>
    /// <param name="scope">Whose use counts.</param>
    /// <param name="limit">The limit, above 0.</param>
    /// <param name="share">This broker's share of it.</param>
    /// <param name="clock">The clock.</param>
    public QuotaAccount(QuotaKey key, QuotaScope scope, double limit, double share, TimeProvider clock)
    {
        (Key, Scope, _limit, _clock) = (key, scope, limit, clock);
        _began = clock.GetTimestamp();
        _bucket = new TokenBucket(share);
        _producers = key == QuotaKey.ProducerIds ? new ActiveProducerIds() : null;
    }

    /// <summary>What is limited.</summary>
    public QuotaKey Key { get; }

    /// <summary>Whose use counts.</summary>
    public QuotaScope Scope { get; }

    /// <summary>The clock that its rate is measured with.</summary>
    public TimeProvider Clock => _clock;

    /// <summary>Whether another account has taken its place, since it was not used for a while.</summary>
    public bool IsRetired => _isRetired;

    /// <summary>The limit of the cluster.</summary>
    public double Limit
    {
        get
        {
            lock (_lock)
                return _limit;
        }
    }

    /// <summary>This broker's share of the limit, in units a second.</summary>
    public double Share
    {
        get
        {
            lock (_lock)
                return _bucket.Rate;
        }
    }

    /// <summary>The most units that one request may take: what a window allows.</summary>
    public double Most
    {
        get
        {
            lock (_lock)
                return _bucket.Capacity;
        }
    }

    /// <summary>The units that are there; 0 or less where none are.</summary>
    public double Left
    {
        get
        {
            lock (_lock)
            {
                Pass();
                return _bucket.Tokens;
            }
        }
    }

    /// <summary>Describes it.</summary>
    public QuotaUsage Describe()
    {
        lock (_lock)
        {
            var now = Pass();
            _producers?.Forget(now);
            return new QuotaUsage(Key, Scope, _limit, _bucket.Rate, _producers?.Count ?? _used.PerSecond(now), TimeSpan.FromSeconds(
                Math.Min(_bucket.Wait, BrokerQuotas.MostThrottle.TotalSeconds)));
        }
    }

    /// <summary>Sets another limit. The share changes in proportion, until it is told anew.</summary>
    public void SetLimit(double limit)
    {
        lock (_lock)
        {
            if (_limit == limit)
                return;
            Pass();
            (_bucket.Rate, _limit) = (_bucket.Rate / _limit * limit, limit);
        }
    }

    /// <summary>Sets this broker's share.</summary>
    public void SetShare(double share)
    {
        lock (_lock)
        {
            Pass();
            _bucket.Rate = share;
        }
    }

    /// <summary>Takes what a request has used.</summary>
    /// <returns>How long the client is to be held back; zero: not at all.</returns>
    public TimeSpan Charge(double units)
    {
        lock (_lock)
        {
            Use(units);
            return Limited(_bucket.Wait);
        }
    }

    /// <summary>Takes units, unless others are owed already.</summary>
    /// <returns>Zero: they were taken. Else how long until nothing is owed.</returns>
    public TimeSpan ChargeUnlessOwed(double units) => ChargeUnlessOwed(units, out _);

    /// <summary>Takes units, unless others are owed already.</summary>
    /// <param name="units">The units.</param>
    /// <param name="taken">What was taken, for <see cref="TakeBack"/>: more is not owed.</param>
    /// <returns>Zero: they were taken. Else how long until nothing is owed.</returns>
    public TimeSpan ChargeUnlessOwed(double units, out double taken)
    {
        lock (_lock)
        {
            taken = 0;
            Pass();
            if (_bucket.Wait is > 0 and var wait)
                return Limited(wait);
            var before = _bucket.Tokens;
            Use(units);
            taken = before - _bucket.Tokens;
            return TimeSpan.Zero;
        }
    }

    /// <summary>Gives back what a request took that did nothing. It stays among what <see cref="Describe"/> tells of the last
    /// seconds.</summary>
    public void TakeBack(double taken)
    {
        lock (_lock)
        {
            Pass();
            _bucket.TakeBack(taken);
        }
    }

    /// <summary>Begins a read whose size is known when it has ended. As many are in progress as the saved units cover, or one: so no more
    /// than one of them is owed. A read that takes long ends before its size is known, and is charged later.</summary>
    /// <param name="most">The most units of a read.</param>
    /// <param name="wait">How long until nothing is owed; zero where only other reads are in the way.</param>
    /// <returns>True: it has begun, and ends with <see cref="EndRead"/>.</returns>
    public bool TryBeginRead(double most, out TimeSpan wait)
    {
        lock (_lock)
        {
            Pass();
            wait = Limited(_bucket.Wait);
            if (wait > TimeSpan.Zero || (_reads > 0 && (_reads + 1) * most > _bucket.Tokens))
                return false;
            _reads++;
            return true;
        }
    }

    /// <summary>Ends a read, and takes what it has used.</summary>
    public void EndRead(double units)
    {
        lock (_lock)
        {
            if (units > 0)
                Use(units);
            _reads--;
            // One that has left is passed over.
            while (_readers.TryDequeue(out var next) && !next.TrySetResult())
            {
            }
        }
    }

    /// <summary>Waits until a read in progress has ended.</summary>
    /// <param name="most">The longest wait.</param>
    /// <param name="cancellationToken">Cancels the wait.</param>
    /// <returns>The time that has passed.</returns>
    public async ValueTask<TimeSpan> WaitForReadAsync(TimeSpan most, CancellationToken cancellationToken)
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
        {
            if (_reads == 0)
                return TimeSpan.Zero;
            _readers.Enqueue(ended);
        }
        var began = _clock.GetTimestamp();
        try
        {
            await ended.Task.WaitAsync(most, _clock, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // The caller looks again.
        }
        finally
        {
            ended.TrySetResult();
        }
        return _clock.GetElapsedTime(began);
    }

    /// <summary>Whether a producer id may write: it is among those that the limit allows.</summary>
    public bool AdmitsProducer(long id)
    {
        lock (_lock)
        {
            _isUsed = true;
            return _producers!.Admits(id, _limit, Pass());
        }
    }

    /// <summary>How long until nothing is owed.</summary>
    public TimeSpan Wait()
    {
        lock (_lock)
        {
            Pass();
            return Limited(_bucket.Wait);
        }
    }

    /// <summary>Returns what to tell the other brokers.</summary>
    /// <param name="isIdle">Whether it was not used since the last call, and is as a new one would be.</param>
    public QuotaUse LookAgain(out bool isIdle)
    {
        lock (_lock)
        {
            // Clients that are held back for long do not ask meanwhile.
            var now = Pass();
            var use = new QuotaUse(_used.PerSecond(now), _isLimited || _bucket.Tokens < 0);
            _producers?.Forget(now);
            isIdle = !_isUsed && !_isLimited && _reads == 0 && use.Rate == 0 && _bucket.Tokens >= _bucket.Capacity
                && _producers is not { Count: > 0 };
            (_isLimited, _isUsed) = (false, false);
            return use;
        }
    }

    /// <summary>Has its users look for another account.</summary>
    public void Retire() => _isRetired = true;

    private void Use(double units)
    {
        var now = Pass();
        _bucket.Take(units);
        _used.Add(now, units);
        _isUsed = true;
    }

    private TimeSpan Limited(double wait)
    {
        if (wait <= 0)
            return TimeSpan.Zero;
        _isLimited = true;
        return TimeSpan.FromSeconds(Math.Min(wait, BrokerQuotas.MostThrottle.TotalSeconds));
    }

    private double Pass()
    {
        var now = _clock.GetElapsedTime(_began).TotalSeconds;
        _bucket.Pass(now - _passed);
        return _passed = now;
    }
}
