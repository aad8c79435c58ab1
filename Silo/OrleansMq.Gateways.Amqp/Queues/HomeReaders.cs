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
/// does the end of the reader, and after <see cref="AnswerTime"/> no answer is under way. While the room is full, a call is answered with
/// the messages that need none; a large one waits for its turn, also from call to call.</para>
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
                await reader.StopAsync(ReaderFrames.ReadNumbers(question, 1)[0]).ConfigureAwait(false);
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
                    ? new HomeReader(queue.Attach(origin.Priority, HomeLane.MaxBytes), origin.TellsGot ? room : null, time)
                    {
                        AskedAt = time.GetTimestamp(),
                    }
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
        return await attaching.ConfigureAwait(false) is null ? ReaderFrames.Gone
            : origin.TellsGot ? ReaderFrames.AttachedWithRoom : ReaderFrames.Done;
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
        List<HomeReader> attached = [];
        lock (_lock)
        {
            var ended = _readers.Values.Select(static reader => reader.Incarnation).Distinct().Where(peers.HasEnded)
                .ToHashSet(StringComparer.Ordinal);
            foreach (var (id, (incarnation, attaching)) in _readers)
            {
                var reader = attaching is { IsCompletedSuccessfully: true } ? attaching.Result : null;
                if (ended.Contains(incarnation) || (reader is not null && time.GetElapsedTime(reader.AskedAt) >= Lifetime))
                    lost.Add(id);
                else if (reader is not null)
                    attached.Add(reader);
            }
        }
        attached.ForEach(static reader => reader.LeaveLate());
        lost.ForEach(id => _ = EndAsync(id));
    }
}

/// <summary>
/// A reader of another broker at the home of its queue: what was handed to it, by the numbers of the deliveries. The queue has the messages
/// themselves. Thread safe; one call is answered at a time.
/// <code>
/// handed out -- it is small, or has room                        --> answered
/// handed out -- none of both                                    --> waiting   for the next call
/// waiting    -- the same, with the next call                    --> answered
/// waiting    -- its call is stopped, the turn is given up,
///               no call for <see cref="HomeReaders.AnswerTime"/>,
///               or none though its place has become room      --> ready again, in the queue
/// </code>
/// The first that waits has a place among those that wait for room, and keeps it from call to call.
/// </summary>
/// <param name="reader">Reads the queue.</param>
/// <param name="room">The room for answers on their way to readers; null: the reader's broker does not know of it.</param>
/// <param name="time">The clock.</param>
internal sealed class HomeReader(IQueueReader reader, CopyRoom? room, TimeProvider time) : IAsyncDisposable
{
    // What is left of a question's ten seconds, after the longest wait for messages, is for the way of the answer.
    private static readonly TimeSpan MaxRoomWait = TimeSpan.FromSeconds(2);

    // A reader that can take messages calls again at once: within this time, or twice that of the answer before and its next call, where
    // answers are long on their way.
    private static readonly TimeSpan CallTime = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestCallTime = TimeSpan.FromSeconds(5);

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
    // The deliveries that wait, in their order, and the place of the first among those that wait for room.
    private readonly Queue<long> _unanswered = new();
    private (Task Entering, long Bytes)? _entry;
    // The room that the answer of the last call has, and since when that is answered.
    private long _roomBytes;
    private long _answeredAt;
    private TimeSpan _callTime = CallTime;
    // Messages on their way back to the queue: a call that follows gets them in their order.
    private Task _returning = Task.CompletedTask;

    /// <summary>Whether it holds nothing, and receives nothing more.</summary>
    public bool HasEnded => _ended.IsCancellationRequested;

    /// <summary>When its broker asked last, by the clock's timestamp.</summary>
    public long AskedAt
    {
        get => Volatile.Read(ref _askedAt);
        set => Volatile.Write(ref _askedAt, value);
    }

    /// <summary>Receives messages. The same call has the same answer.</summary>
    /// <returns>The messages, with room for their answer; null: there was no room, and another call may have them.</returns>
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
                if (_last is { IsCompletedSuccessfully: true, Result: null })
                    _callTime = CallTimeAfter(time.GetElapsedTime(_answeredAt));
                _waiting.Dispose();
                _waiting = CancellationTokenSource.CreateLinkedTokenSource(_ended.Token);
                (_call, _last) = (call, last);
                LeaveRoom();
                if (call <= _stopped)
                {
                    maxWait = TimeSpan.Zero;
                    _waiting.Cancel();
                }
            }
            stop = _waiting.Token;
        }
        if (last != received.Task)
            return await last.ConfigureAwait(false) is { } before ? await ReceiveAgainAsync(call, before).ConfigureAwait(false) : null;
        List<(long Delivery, HeldMessage Held)>? answered;
        try
        {
            var messages = await TakeAsync(max, maxWait, stop).ConfigureAwait(false);
            answered = messages.Count == 0 ? messages : await EnterAsync(messages, stop).ConfigureAwait(false);
        }
        catch (Exception fault)
        {
            received.SetException(fault);
            _ = received.Task.Exception; // Observed: the call may not come again.
            throw;
        }
        List<(long, Settlement)> returned;
        lock (_lock)
        {
            for (var end = answered is [] or null ? 0 : answered[^1].Delivery; _unanswered.TryPeek(out var first) && first <= end;)
                _unanswered.Dequeue();
            // No other call may follow one that is stopped.
            returned = call <= _stopped || stop.IsCancellationRequested ? TakeUnanswered() : [];
            _answeredAt = time.GetTimestamp();
            received.SetResult(answered is null ? null : [.. answered.Select(static one => one.Delivery)]);
        }
        await SettleAsync(returned).ConfigureAwait(false);
        return answered;
    }

    // A reader that was longer without a call than an answer may take had another reason.
    private static TimeSpan CallTimeAfter(TimeSpan called) =>
        called * 2 <= CallTime || called > LongestCallTime ? CallTime : called * 2 < LongestCallTime ? called * 2 : LongestCallTime;

    // The first answer may have come: its messages do not return to the queue.
    private async Task<List<(long Delivery, HeldMessage Held)>> ReceiveAgainAsync(long call, long[] deliveries)
    {
        var messages = await ReadAsync(deliveries).ConfigureAwait(false);
        return await TryEnterAgainAsync(call, messages).ConfigureAwait(false) ? messages
            : throw new TimeoutException("There is no room to answer a call again.");
    }

    // What waits comes first. What the queue hands out waits from here on.
    private async Task<List<(long Delivery, HeldMessage Held)>> TakeAsync(int max, TimeSpan maxWait, CancellationToken stop)
    {
        Task returning;
        lock (_lock)
            returning = _returning;
        await returning.ConfigureAwait(false);
        long[] waiting;
        lock (_lock)
            waiting = [.. _unanswered.Take(max)];
        // None of them is there where the queue is deleted.
        if (waiting.Length > 0 && await ReadAsync(waiting).ConfigureAwait(false) is { Count: > 0 } read)
            return read;
        var messages = await reader.ReceiveAsync(max, maxWait, stop).ConfigureAwait(false);
        var held = new List<(long, HeldMessage)>(messages.Count);
        lock (_lock)
        {
            foreach (var message in messages)
            {
                _held.Add(++_deliveries, (message.Hold, message.IsRedelivered));
                _unanswered.Enqueue(_deliveries);
                held.Add((_deliveries, message));
            }
        }
        return held;
    }

    // Returns the first ones that can be answered now; null: none.
    private async Task<List<(long Delivery, HeldMessage Held)>?> EnterAsync(List<(long Delivery, HeldMessage Held)> messages,
        CancellationToken stop)
    {
        Task entering;
        lock (_lock)
        {
            if (HasEnded)
                return null;
            if (_entry is null)
            {
                var bytes = ReaderFrames.BytesOf(messages);
                if (room is null || bytes <= ReaderFrames.SmallBytes)
                    return messages;
                if (room.TryEnter(bytes))
                {
                    _roomBytes = bytes;
                    return messages;
                }
                if (ReaderFrames.CountSmall(messages) is > 0 and var small)
                    return messages[..small];
                var first = messages[0].Held.Message.Bytes;
                _entry = (room.EnterAsync(first), first);
            }
            entering = _entry.Value.Entering;
        }
        await entering.WaitAsync(MaxRoomWait, time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        lock (_lock)
        {
            // Its end has given the place up.
            if (_entry is not { } entry || !entering.IsCompleted)
                return null;
            (_roomBytes, _entry) = (entry.Bytes, null);
            return messages[..1];
        }
    }

    // Returns whether an answer that is given again has room: that of the first one, which is given up, or has come.
    private async Task<bool> TryEnterAgainAsync(long call, List<(long Delivery, HeldMessage Held)> messages)
    {
        var bytes = ReaderFrames.BytesOf(messages);
        if (room is null || bytes <= ReaderFrames.SmallBytes)
            return true;
        lock (_lock)
        {
            if (call != _call)
                return false;
            if (_roomBytes > 0)
            {
                _answeredAt = time.GetTimestamp();
                return true;
            }
        }
        var entering = room.EnterAsync(bytes);
        await entering.WaitAsync(MaxRoomWait, time, _ended.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!entering.IsCompleted && room.TryWithdraw(entering))
            return false;
        lock (_lock)
        {
            // The end of the reader and a later call do not see what comes into the room behind them. Another answer to this call has room.
            var isCurrent = !HasEnded && call == _call;
            if (isCurrent && _roomBytes == 0)
                _roomBytes = bytes;
            else
                room.Exit(bytes);
            _answeredAt = isCurrent ? time.GetTimestamp() : _answeredAt;
            return isCurrent;
        }
    }

    // Under the lock.
    private void LeaveRoom()
    {
        if (_roomBytes > 0)
            room!.Exit(_roomBytes);
        _roomBytes = 0;
    }

    // Under the lock. A place that has become room is given back.
    private void LeaveEntry()
    {
        if (_entry is { } entry && !room!.TryWithdraw(entry.Entering))
            room.Exit(entry.Bytes);
        _entry = null;
    }

    // Under the lock, between two calls or as one is answered. The caller returns them.
    private List<(long Delivery, Settlement Settlement)> TakeUnanswered()
    {
        LeaveEntry();
        List<(long, Settlement)> taken = [.. _unanswered.Select(static delivery => (delivery, Settlement.Return))];
        _unanswered.Clear();
        return taken;
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

    /// <summary>Gives up what no call comes for: the room of an answer that can be under way no more, and the messages that wait.</summary>
    public void LeaveLate()
    {
        List<(long, Settlement)> late = [];
        var returning = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
        {
            if (!_last.IsCompleted)
                return;
            var since = time.GetElapsedTime(_answeredAt);
            var isLate = since >= HomeReaders.AnswerTime;
            if (isLate)
                LeaveRoom();
            // Others wait behind a place that has become room.
            if (isLate || (_entry is { Entering.IsCompleted: true } && since >= _callTime))
                late = TakeUnanswered();
            if (late.Count == 0)
                return;
            _returning = returning.Task;
        }
        _ = ReturnAsync(late, returning);
    }

    private async Task ReturnAsync(List<(long, Settlement)> late, TaskCompletionSource returning)
    {
        try
        {
            await SettleAsync(late).ConfigureAwait(false);
        }
        finally
        {
            returning.SetResult();
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

    /// <summary>Gives a single active reader's turn up: what waits is for the next one.</summary>
    public async Task YieldAsync()
    {
        List<(long, Settlement)> waiting;
        CancellationTokenSource last;
        lock (_lock)
        {
            _stopped = Math.Max(_stopped, _call);
            last = _waiting;
            waiting = _last.IsCompleted ? TakeUnanswered() : [];
        }
        Cancel(last);
        await SettleAsync(waiting).ConfigureAwait(false);
        await reader.YieldAsync().ConfigureAwait(false);
    }

    /// <summary>Ends the wait of a call, whether it has come or not.</summary>
    public async Task StopAsync(long call)
    {
        CancellationTokenSource waiting;
        List<(long, Settlement)> unanswered;
        lock (_lock)
        {
            _stopped = Math.Max(_stopped, call);
            if (call != _call)
                return;
            waiting = _waiting;
            // No other call may follow one that is stopped.
            unanswered = _last.IsCompleted ? TakeUnanswered() : [];
        }
        Cancel(waiting);
        await SettleAsync(unanswered).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Cancel(_ended);
        lock (_lock)
        {
            LeaveRoom();
            LeaveEntry();
        }
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
