using OrleansMq.Hosting;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// The readers that other brokers have attached to queues in the memory of this home. Thread safe.
/// <code>
/// (none)   -- attach                       --> attached; (none) if there is no such queue
/// attached -- receive                      --> attached   it holds what the answer has, until that is settled
/// attached -- end, its broker has ended, or
///             no question for Lifetime     --> ended      what it holds returns to the queue
/// ended    -- attach that comes late       --> ended
/// </code>
/// <para>Failures: a question may come twice, or after its reader has ended. A receive that comes twice has the answer of the first one;
/// settlements name deliveries, of which each is settled once; an ended reader is remembered for longer than a question takes.</para>
/// </summary>
/// <param name="find">Returns a queue of this home, which an image of a version has; null if it is deleted.</param>
/// <param name="peers">The other brokers.</param>
/// <param name="time">The clock.</param>
internal sealed class HomeReaders(Func<HomeTarget, long, Task<MemoryQueue?>> find, IGatewayPeers peers, TimeProvider time) : IDisposable
{
    /// <summary>How long a reader stays without a question of its broker: that may be cut off from this one.</summary>
    internal static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(40);

    // Between two looks for readers that are to end.
    private static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(1);

    // Questions have ten seconds.
    private static readonly TimeSpan Remembered = TimeSpan.FromMinutes(1);

    private readonly Lock _lock = new();
    private readonly Dictionary<long, (string Incarnation, Task<HomeReader?> Reader)> _readers = [];
    private readonly HashSet<long> _ended = [];
    private readonly Queue<(long Reader, long Since)> _forgotten = new();
    private ITimer? _look;

    /// <summary>Looks for readers that are to end, from now on.</summary>
    public void Open() => _look = time.CreateTimer(_ => EndLost(), null, LookInterval, LookInterval);

    /// <inheritdoc/>
    public void Dispose() => _look?.Dispose();

    /// <summary>Answers a question.</summary>
    /// <exception cref="InvalidDataException">The question is damaged, or comes behind a later one.</exception>
    public async Task<ReadOnlyMemory<byte>> AnswerAsync(ReadOnlyMemory<byte> question)
    {
        var (kind, id) = (question.Span[0], ReaderFrames.ReadReader(question));
        if (kind == ReaderFrames.AttachKind)
            return await AttachAsync(id, ReaderFrames.ReadAttach(question)).ConfigureAwait(false);
        if (kind == ReaderFrames.EndKind)
        {
            await EndAsync(id).ConfigureAwait(false);
            return ReaderFrames.Done;
        }
        if (await FindAsync(id).ConfigureAwait(false) is not { } reader)
            return ReaderFrames.Unknown;
        reader.AskedAt = time.GetTimestamp();
        switch (kind)
        {
            case ReaderFrames.ReceiveKind:
                var receive = ReaderFrames.ReadNumbers(question, 3);
                return await ReceiveAsync(reader, receive[0], (int)receive[1], TimeSpan.FromMilliseconds(receive[2]))
                    .ConfigureAwait(false);
            case ReaderFrames.SettleKind:
                await reader.SettleAsync(ReaderFrames.ReadSettle(question)).ConfigureAwait(false);
                return ReaderFrames.Done;
            case ReaderFrames.ReadKind:
                var read = await reader.ReadAsync(ReaderFrames.ReadNumbers(question, 1)).ConfigureAwait(false);
                return read.Count > 0 ? ReaderFrames.Messages(read) : ReaderFrames.Unknown;
            case ReaderFrames.YieldKind:
                await reader.YieldAsync().ConfigureAwait(false);
                return ReaderFrames.Done;
            case ReaderFrames.StopKind:
                reader.Stop(ReaderFrames.ReadNumbers(question, 1)[0]);
                return ReaderFrames.Done;
            default:
                throw new InvalidDataException($"A question of a reader has the kind {kind}.");
        }
    }

    private static async Task<ReadOnlyMemory<byte>> ReceiveAsync(HomeReader reader, long call, int max, TimeSpan maxWait)
    {
        try
        {
            var messages = await reader.ReceiveAsync(call, max, maxWait).ConfigureAwait(false);
            // That an ended reader receives nothing says nothing of the queue.
            return messages.Count == 0 && reader.HasEnded ? ReaderFrames.Unknown : ReaderFrames.Messages(messages);
        }
        catch (QueueGoneException)
        {
            return ReaderFrames.Gone;
        }
    }

    private async Task<ReadOnlyMemory<byte>> AttachAsync(long id, ReaderOrigin origin)
    {
        var attached = new TaskCompletionSource<HomeReader?>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<HomeReader?> attaching;
        lock (_lock)
        {
            if (_ended.Contains(id))
                return ReaderFrames.Unknown;
            attaching = _readers.TryGetValue(id, out var known) ? known.Reader : attached.Task;
            if (attaching == attached.Task)
                _readers.Add(id, (origin.Incarnation, attaching));
        }
        if (attaching == attached.Task)
        {
            try
            {
                attached.SetResult(await find(origin.Target, origin.Version).ConfigureAwait(false) is { } queue
                    ? new HomeReader(queue.Attach(origin.Priority, HomeLane.MaxBytes)) { AskedAt = time.GetTimestamp() } : null);
            }
            catch (QueueGoneException)
            {
                attached.SetResult(null);
            }
            catch (Exception fault)
            {
                attached.SetException(fault);
            }
            // One that could not be attached leaves nothing behind, and may be attached later.
            if (attaching is not { IsCompletedSuccessfully: true, Result: not null })
                lock (_lock)
                    _readers.Remove(id);
        }
        return await attaching.ConfigureAwait(false) is null ? ReaderFrames.Gone : ReaderFrames.Done;
    }

    private async Task<HomeReader?> FindAsync(long id)
    {
        Task<HomeReader?>? reader;
        lock (_lock)
            reader = _readers.TryGetValue(id, out var known) ? known.Reader : null;
        return reader is null ? null : await reader.ConfigureAwait(false);
    }

    private async Task EndAsync(long id)
    {
        Task<HomeReader?>? ending;
        lock (_lock)
        {
            ending = _readers.Remove(id, out var known) ? known.Reader : null;
            if (_ended.Add(id))
                _forgotten.Enqueue((id, time.GetTimestamp()));
            while (_forgotten.TryPeek(out var first) && time.GetElapsedTime(first.Since) >= Remembered)
                _ended.Remove(_forgotten.Dequeue().Reader);
        }
        if (ending is null)
            return;
        await ((Task)ending).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (ending is { IsCompletedSuccessfully: true, Result: { } reader })
            await reader.DisposeAsync().ConfigureAwait(false);
    }

    private void EndLost()
    {
        List<long> lost = [];
        lock (_lock)
        {
            var ended = _readers.Values.Select(static reader => reader.Incarnation).Distinct().Where(peers.HasEnded)
                .ToHashSet(StringComparer.Ordinal);
            foreach (var (id, (incarnation, attaching)) in _readers)
            {
                if (ended.Contains(incarnation) || (attaching is { IsCompletedSuccessfully: true, Result: { } reader }
                    && time.GetElapsedTime(reader.AskedAt) >= Lifetime))
                    lost.Add(id);
            }
        }
        lost.ForEach(id => _ = EndAsync(id));
    }
}

/// <summary>A reader of another broker at the home of its queue: what was handed to it, by the numbers of the deliveries. The queue has the
/// messages themselves. Thread safe.</summary>
/// <param name="reader">Reads the queue.</param>
internal sealed class HomeReader(IQueueReader reader) : IAsyncDisposable
{
    private readonly Lock _lock = new();
    private readonly Dictionary<long, (MessageHold Hold, bool IsRedelivered)> _held = [];
    private readonly CancellationTokenSource _ended = new();
    // The deliveries of the last call.
    private Task<long[]> _last = Task.FromResult<long[]>([]);
    private CancellationTokenSource _waiting = new();
    private long _call;
    // The last call that is not to wait: it may come later than that is said.
    private long _stopped;
    private long _deliveries;
    private long _askedAt;

    /// <summary>Whether it holds nothing, and receives nothing more.</summary>
    public bool HasEnded => _ended.IsCancellationRequested;

    /// <summary>When its broker asked last, by the clock's timestamp.</summary>
    public long AskedAt
    {
        get => Volatile.Read(ref _askedAt);
        set => Volatile.Write(ref _askedAt, value);
    }

    /// <summary>Receives messages. The same call has the same answer.</summary>
    /// <exception cref="InvalidDataException">The call comes behind a later one, or before the one before it is answered.</exception>
    /// <exception cref="QueueGoneException">The queue is deleted.</exception>
    public async Task<List<(long Delivery, HeldMessage Held)>> ReceiveAsync(long call, int max, TimeSpan maxWait)
    {
        var received = new TaskCompletionSource<long[]>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<long[]> last;
        CancellationToken stop;
        lock (_lock)
        {
            if (call < _call || (call > _call && !_last.IsCompleted))
                throw new InvalidDataException($"Call {call} of a reader comes behind call {_call}, or before that is answered.");
            last = call == _call ? _last : received.Task;
            if (call > _call)
            {
                _waiting.Dispose();
                _waiting = CancellationTokenSource.CreateLinkedTokenSource(_ended.Token);
                (_call, _last) = (call, last);
                if (call <= _stopped)
                    maxWait = TimeSpan.Zero;
            }
            stop = _waiting.Token;
        }
        if (last != received.Task)
            return await ReadAsync(await last.ConfigureAwait(false)).ConfigureAwait(false);
        var deliveries = new List<(long Delivery, HeldMessage Held)>();
        try
        {
            var messages = await reader.ReceiveAsync(max, maxWait, stop).ConfigureAwait(false);
            lock (_lock)
            {
                foreach (var message in messages)
                {
                    _held.Add(++_deliveries, (message.Hold, message.IsRedelivered));
                    deliveries.Add((_deliveries, message));
                }
            }
            received.SetResult([.. deliveries.Select(static one => one.Delivery)]);
        }
        catch (Exception fault)
        {
            received.SetException(fault);
            await received.Task.ConfigureAwait(false);
        }
        return deliveries;
    }

    /// <summary>Reads messages that it holds, those of them that the queue has.</summary>
    public async Task<List<(long Delivery, HeldMessage Held)>> ReadAsync(params long[] deliveries)
    {
        var read = new List<(long, HeldMessage)>();
        foreach (var delivery in deliveries)
        {
            (MessageHold Hold, bool IsRedelivered) held;
            lock (_lock)
            {
                if (!_held.TryGetValue(delivery, out held))
                    continue;
            }
            if (await reader.ReadAsync(held.Hold).ConfigureAwait(false) is { } message)
                read.Add((delivery, new HeldMessage(message, held.Hold, held.IsRedelivered)));
        }
        return read;
    }

    /// <summary>Settles messages. What is settled already stays so.</summary>
    public async Task SettleAsync(List<(long Delivery, Settlement Settlement)> settlements)
    {
        foreach (var (delivery, settlement) in settlements)
        {
            (MessageHold Hold, bool IsRedelivered) held;
            lock (_lock)
            {
                if (!_held.Remove(delivery, out held))
                    continue;
            }
            await reader.SettleAsync(held.Hold, settlement).ConfigureAwait(false);
        }
    }

    /// <summary>Gives a single active reader's turn up.</summary>
    public Task YieldAsync() => reader.YieldAsync();

    /// <summary>Ends the wait of a call, whether it has come or not.</summary>
    public void Stop(long call)
    {
        lock (_lock)
        {
            _stopped = Math.Max(_stopped, call);
            if (call != _call)
                return;
        }
        Cancel(_waiting);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Cancel(_ended);
        await reader.DisposeAsync().ConfigureAwait(false);
    }

    private static void Cancel(CancellationTokenSource source)
    {
        try
        {
            source.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The call is answered, and a later one has come.
        }
    }
}
