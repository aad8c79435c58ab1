using System.Diagnostics.CodeAnalysis;
using OrleansMq.Api;
using OrleansMq.Queues;
using OrleansMq.Timing;

namespace OrleansMq.Partitions.Cursors;

/// <summary>A consumer that calls over a network: it is attached while its calls come. Thread safe.</summary>
internal sealed class QueueSession
{
    private readonly CursorAttachment _attachment;
    private readonly TimeSpan _timeout;
    private readonly TimeProvider _time;
    private readonly Action _ended;
    private readonly WakeTimer _timer;
    private readonly Lock _lock = new();
    private readonly SemaphoreSlim _receiving = new(1);
    private CancellationTokenSource? _receive;
    private int _calls;
    // When the last call left.
    private long _silentSince;
    private bool _hasEnded;

    public QueueSession(CursorAttachment attachment, TimeSpan timeout, TimeProvider time, Action ended)
    {
        (_attachment, _timeout, _time, _ended) = (attachment, timeout, time, ended);
        _timer = new WakeTimer(time, OnTimer);
    }

    /// <summary>Whether its consumer is of the leadership that holds the lease.</summary>
    public bool HoldsLease => _attachment.HoldsLease;

    /// <summary>Its consumer's number in the leadership.</summary>
    public long Number => _attachment.Number;

    /// <summary>Starts to wait for calls.</summary>
    public void Begin()
    {
        lock (_lock)
            Wait();
    }

    /// <summary>Begins a call; the session does not time out before it is disposed of.</summary>
    public bool TryEnter([NotNullWhen(true)] out Call? call)
    {
        lock (_lock)
        {
            call = _hasEnded ? null : new Call(this);
            if (call is not null && ++_calls == 1)
                _timer.Stop();
            return call is not null;
        }
    }

    /// <summary>Receives. A call in progress ends first, with nothing.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.LeaderNotAvailable"/>: a call that does not wait found a leader that cannot
    /// hand out now, so whether there are records is unknown.</exception>
    public async Task<ReceivedRecords?> ReceiveAsync(int maxRecords, TimeSpan maxWait, CancellationToken cancellationToken)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        lock (_lock)
        {
            _receive?.Cancel();
            _receive = ending;
        }
        try
        {
            await _receiving.WaitAsync(ending.Token).ConfigureAwait(false);
            try
            {
                var received = await _attachment.ReceiveAsync(maxRecords, maxWait, ending.Token).ConfigureAwait(false);
                return received is not null || maxWait > TimeSpan.Zero || !_attachment.WasBlind ? received
                    : throw new BrokerException(ErrorCode.LeaderNotAvailable, "The partition's leader cannot hand out records at the "
                        + "moment: its predecessor's lease lasts, or too few replicas are in sync. Retry.");
            }
            finally
            {
                _receiving.Release();
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return null;
        }
        catch (BrokerException ended) when (ended.Code == ErrorCode.NotLeaderOrFollower)
        {
            _ = EndAsync(isFailure: false);
            throw;
        }
        finally
        {
            lock (_lock)
            {
                if (_receive == ending)
                    _receive = null;
            }
        }
    }

    /// <summary>The consumer receives nothing more, and keeps what it holds. A call in progress ends, with nothing.</summary>
    public Task<bool> YieldAsync()
    {
        lock (_lock)
            _receive?.Cancel();
        return _attachment.YieldAsync();
    }

    /// <summary>Carries out a settlement.</summary>
    public Task<Answer> SettleAsync(in QueueSettlement settlement)
    {
        var token = new LockToken(settlement.Lock.Queue, settlement.Lock.LeaderEpoch, settlement.Lock.Number);
        var records = new OffsetRange(settlement.First, settlement.Last);
        return settlement.Action switch
        {
            QueueAction.Accept => _attachment.SettleAsync(token, records),
            QueueAction.Release => _attachment.ReleaseAsync(token, records, isFailure: false, settlement.Delay,
                isUncounted: settlement.IsUncounted),
            QueueAction.Fail => _attachment.ReleaseAsync(token, records, isFailure: true, settlement.Delay, settlement.Reason),
            QueueAction.Reject => _attachment.RejectAsync(token, records, settlement.Reason),
            _ => _attachment.RenewAsync(token, records),
        };
    }

    /// <summary>Detaches the consumer; what it holds is returned. Completes when that is in force.</summary>
    public Task EndAsync(bool isFailure)
    {
        lock (_lock)
        {
            if (_hasEnded)
                return Task.CompletedTask;
            _hasEnded = true;
            _receive?.Cancel();
        }
        _timer.Dispose();
        var returned = _attachment.DetachAsync(isFailure);
        _ended();
        return returned;
    }

    private void OnTimer()
    {
        lock (_lock)
        {
            if (_calls > 0 || _hasEnded)
                return;
            // A call may have come and gone since the timer was due.
            var left = _timeout - _time.GetElapsedTime(_silentSince);
            if (left > TimeSpan.Zero)
            {
                _timer.Set(_timeout, _silentSince);
                return;
            }
        }
        _ = EndAsync(isFailure: true);
    }

    private void Wait()
    {
        _silentSince = _time.GetTimestamp();
        _timer.Set(_timeout, _silentSince);
    }

    private void Leave()
    {
        lock (_lock)
        {
            if (--_calls == 0 && !_hasEnded)
                Wait();
        }
    }

    /// <summary>A call in progress.</summary>
    public sealed class Call(QueueSession session) : IDisposable
    {
        /// <summary>The session.</summary>
        public QueueSession Session => session;

        /// <inheritdoc/>
        public void Dispose() => session.Leave();
    }
}
