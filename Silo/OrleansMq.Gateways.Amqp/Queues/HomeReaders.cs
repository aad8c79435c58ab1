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
/// <para>Large answers share a room until they have come, which their readers tell. That may be lost: the next call tells it, too, and so
/// does the end of the reader, and after <see cref="AnswerTime"/> no answer is under way.</para>
/// </summary>
/// <param name="find">Returns a queue of this home, which an image of a version has; null if it is deleted.</param>
/// <param name="peers">The other brokers.</param>
/// <param name="room">The room for answers on their way to readers.</param>
/// <param name="time">The clock.</param>
internal sealed class HomeReaders(Func<HomeTarget, long, Task<MemoryQueue?>> find, IGatewayPeers peers, CopyRoom room, TimeProvider time)
    : IDisposable
{
    /// <summary>How long an answer may be under way: questions have ten seconds.</summary>
    internal static readonly TimeSpan AnswerTime = TimeSpan.FromSeconds(10);

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
            case ReaderFrames.GotKind:
                reader.Got(ReaderFrames.ReadNumbers(question, 1)[0]);
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
            return messages is null or [] && reader.HasEnded ? ReaderFrames.Unknown
                : messages is null ? ReaderFrames.Busy : ReaderFrames.Messages(messages);
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
                    ? new HomeReader(queue.Attach(origin.Priority, HomeLane.MaxBytes), room, time) { AskedAt = time.GetTimestamp() }
                    : null);
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
                var reader = attaching is { IsCompletedSuccessfully: true, Result: { } attached } ? attached : null;
                if (ended.Contains(incarnation) || (reader is not null && time.GetElapsedTime(reader.AskedAt) >= Lifetime))
                    lost.Add(id);
                reader?.LeaveLate();
            }
        }
        lost.ForEach(id => _ = EndAsync(id));
    }
}

/// <summary>A reader of another broker at the home of its queue: what was handed to it, by the numbers of the deliveries. The queue has the
/// messages themselves. Thread safe.</summary>
/// <param name="reader">Reads the queue.</param>
/// <param name="room">The room for answers on their way to readers.</param>
/// <param name="time">The clock.</param>
internal sealed class HomeReader(IQueueReader reader, CopyRoom room, TimeProvider time) : IAsyncDisposable
{
    // What is left of a question's ten seconds, after the longest wait for messages, is for the way of the answer.
    private static readonly TimeSpan MaxRoomWait = TimeSpan.FromSeconds(2);

    private readonly Lock _lock = new();
    private readonly Dictionary<long, (MessageHold Hold, bool IsRedelivered)> _held = [];
    private readonly CancellationTokenSource _ended = new();
    // The deliveries of the last call; null: they had no room.
    private Task<long[]?> _last = Task.FromResult<long[]?>([]);
    private CancellationTokenSource _waiting = new();
    private long _call;
    // The last call that is not to wait: it may come later than that is said.
    private long _stopped;
    private long _deliveries;
    private long _askedAt;
    // The room that the answer of the last call has, and since when it is under way.
    private long _roomBytes;
    private long _answeredAt;

    /// <summary>Whether it holds nothing, and receives nothing more.</summary>
    public bool HasEnded => _ended.IsCancellationRequested;

    /// <summary>When its broker asked last, by the clock's timestamp.</summary>
    public long AskedAt
    {
        get => Volatile.Read(ref _askedAt);
        set => Volatile.Write(ref _askedAt, value);
    }

    /// <summary>Receives messages. The same call has the same answer.</summary>
    /// <returns>The messages, with room for their answer; null: there was no room, and they are in the queue again.</returns>
    /// <exception cref="InvalidDataException">The call comes behind a later one, or before the one before it is answered.</exception>
    /// <exception cref="TimeoutException">The call was answered before, and there is no room to answer it again.</exception>
    /// <exception cref="QueueGoneException">The queue is deleted.</exception>
    public async Task<List<(long Delivery, HeldMessage Held)>?> ReceiveAsync(long call, int max, TimeSpan maxWait)
    {
        var received = new TaskCompletionSource<long[]?>(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<long[]?> last;
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
                LeaveRoom();
                if (call <= _stopped)
                    maxWait = TimeSpan.Zero;
            }
            stop = _waiting.Token;
        }
        if (last != received.Task)
            return await last.ConfigureAwait(false) is { } before ? await ReceiveAgainAsync(before).ConfigureAwait(false) : null;
        try
        {
            var messages = Hold(await reader.ReceiveAsync(max, maxWait, stop).ConfigureAwait(false));
            var hasRoom = await TryEnterAsync(messages, stop).ConfigureAwait(false);
            if (!hasRoom)
                await SettleAsync([.. messages.Select(static one => (one.Delivery, Settlement.Return))]).ConfigureAwait(false);
            received.SetResult(hasRoom ? [.. messages.Select(static one => one.Delivery)] : null);
            return hasRoom ? messages : null;
        }
        catch (Exception fault)
        {
            received.SetException(fault);
            _ = received.Task.Exception; // Observed: the call may not come again.
            throw;
        }
    }

    // The first answer may have come: its messages do not return to the queue.
    private async Task<List<(long Delivery, HeldMessage Held)>> ReceiveAgainAsync(long[] deliveries)
    {
        var messages = await ReadAsync(deliveries).ConfigureAwait(false);
        return await TryEnterAsync(messages, _ended.Token).ConfigureAwait(false) ? messages
            : throw new TimeoutException("There is no room to answer a call again.");
    }

    private List<(long Delivery, HeldMessage Held)> Hold(IReadOnlyList<HeldMessage> messages)
    {
        var held = new List<(long, HeldMessage)>(messages.Count);
        lock (_lock)
        {
            foreach (var message in messages)
            {
                _held.Add(++_deliveries, (message.Hold, message.IsRedelivered));
                held.Add((_deliveries, message));
            }
        }
        return held;
    }

    // Returns whether the answer has room. One that is given again has the room of the first: that is given up, or has come.
    private async Task<bool> TryEnterAsync(List<(long Delivery, HeldMessage Held)> messages, CancellationToken stop)
    {
        var bytes = ReaderFrames.BytesOf(messages);
        if (bytes <= ReaderFrames.SmallBytes)
            return true;
        lock (_lock)
        {
            if (_roomBytes > 0)
            {
                _answeredAt = time.GetTimestamp();
                return true;
            }
        }
        var entry = room.EnterAsync(bytes);
        await entry.WaitAsync(MaxRoomWait, time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!entry.IsCompleted && room.TryWithdraw(entry))
            return false;
        lock (_lock)
        {
            _roomBytes += bytes;
            _answeredAt = time.GetTimestamp();
            // Its end does not see what comes into the room behind it.
            if (!HasEnded)
                return true;
            LeaveRoom();
            return false;
        }
    }

    // Under the lock.
    private void LeaveRoom()
    {
        if (_roomBytes > 0)
            room.Exit(_roomBytes);
        _roomBytes = 0;
    }

    /// <summary>The answer of a call has come. A question for it that is late has none.</summary>
    public void Got(long call)
    {
        lock (_lock)
        {
            if (call != _call || !_last.IsCompleted)
                return;
            _last = Task.FromResult<long[]?>([]);
            LeaveRoom();
        }
    }

    /// <summary>Gives the room of an answer back that can be under way no more.</summary>
    public void LeaveLate()
    {
        lock (_lock)
        {
            if (time.GetElapsedTime(_answeredAt) >= HomeReaders.AnswerTime)
                LeaveRoom();
        }
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
        lock (_lock)
            LeaveRoom();
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
