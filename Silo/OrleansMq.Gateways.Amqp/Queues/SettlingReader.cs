namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// What readers have in common whose settlements take time. They collect while a round of them is on its way, and follow together in the
/// next. Thread safe.
/// <code>
/// idle     -- a settlement, or BeginRound --> settling
/// settling -- a settlement                --> settling   it waits for the next round
/// settling -- the round has ended         --> settling, if settlements wait; else idle
/// </code>
/// <para>Failures: a round that fails fails all of its settlements. The next one follows all the same.</para>
/// </summary>
/// <typeparam name="T">A settlement.</typeparam>
internal abstract class SettlingReader<T>
{
    private readonly Lock _lock = new();
    private List<T> _waiting = [];
    private TaskCompletionSource _round = NewRound();
    private Task _settling = Task.CompletedTask;
    private bool _isSettling;

    /// <summary>Completes when no settlement of those that there are now is on its way or waits. It does not fail where they do.</summary>
    protected Task Settling
    {
        get
        {
            lock (_lock)
                return _settling;
        }
    }

    /// <summary>Adds a settlement, which one round has.</summary>
    /// <returns>Completes with its round; fails where that does.</returns>
    protected Task AddSettlement(T settlement)
    {
        lock (_lock)
        {
            Add(_waiting, settlement);
            Begin();
            return _round.Task;
        }
    }

    /// <summary>Begins a round, also of nothing, unless one is on its way.</summary>
    protected void BeginRound()
    {
        lock (_lock)
            Begin();
    }

    /// <summary>Adds a settlement to those that wait. Called under a lock.</summary>
    protected virtual void Add(List<T> waiting, T settlement) => waiting.Add(settlement);

    /// <summary>Settles a round. For one round at a time.</summary>
    /// <returns>Why some are not known to be in force; null: all are.</returns>
    protected abstract Task<Exception?> SettleRoundAsync(List<T> settlements);

    private static TaskCompletionSource NewRound() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    // Under the lock.
    private void Begin()
    {
        if (_isSettling)
            return;
        _isSettling = true;
        _settling = Task.Run(SettleWaitingAsync);
    }

    private async Task SettleWaitingAsync()
    {
        do
        {
            List<T> taken;
            TaskCompletionSource round;
            lock (_lock)
            {
                (taken, _waiting) = (_waiting, []);
                (round, _round) = (_round, NewRound());
            }
            if (await SettleRoundAsync(taken).ConfigureAwait(false) is not { } fault)
                round.SetResult();
            else
            {
                round.SetException(fault);
                _ = round.Task.Exception; // Observed: few callers wait.
            }
        }
        while (HasMore());
    }

    private bool HasMore()
    {
        lock (_lock)
            return _isSettling = _waiting.Count > 0;
    }
}
