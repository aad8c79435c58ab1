using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Log;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Kafka.Connections;

/// <summary>
/// The answers of one connection in the order of its requests: each is sent when it and all before it are there, several with one call where they are ready together.
/// One caller adds and waits; whoever has the next answer sends it, and what becomes ready meanwhile.
/// </summary>
/// <param name="socket">Where to.</param>
/// <param name="close">Called when an answer ends the connection.</param>
/// <param name="fail">Called with a fault of ours, which ends it too.</param>
/// <param name="pieces">Shared by all connections.</param>
/// <param name="beforeWait">Called by who adds, before he waits.</param>
internal sealed class AnswerQueue(Socket socket, Action close, Action<Exception> fail, PieceSizes pieces, Action beforeWait) : IThreadPoolWorkItem
{
    // Answers that wait for company while the next request is already there.
    private const int MaxHeld = 16;
    // What is larger is sent from where it is; what is smaller is put together.
    private const int CopyBytes = 16 << 10;
    // The most with one call, so that others get their turn at the processor: what clients mostly ask of a partition, with the fields around it.
    private const int SendBytes = 2 << 20;
    private const int PieceBytes = 1 << 20;
    // Below what any system takes (1,024 on Linux).
    private const int MaxPieces = 256;

    private readonly Lock _lock = new();
    private readonly Queue<Answer> _answers = new();
    private readonly Stack<Answer> _unused = new();
    private readonly PooledBuffer _together = new();
    private readonly List<ArraySegment<byte>> _pieces = [];
    private TaskCompletionSource? _waiting;
    private int _waitingFor;
    private int _open;
    private int _held;
    private bool _sending;
    // Those that a flush has answered together come one after the other: what sends them stands behind them in the pool's queue.
    private bool _sendsLater;
    private bool _holds;
    private volatile bool _isClosed;

    /// <summary>Nothing can be sent any more.</summary>
    public bool IsClosed => _isClosed;

    /// <summary>Whether all was answered.</summary>
    public bool IsIdle => Volatile.Read(ref _open) == 0;

    /// <summary>An answer that ends the connection instead.</summary>
    public static ResponseWriter Close() => new(0, isFlexible: false) { ClosesConnection = true };

    /// <summary>Waits until so many requests at most are not answered, or their answers not sent.</summary>
    public Task WaitUntilOpenAsync(int atMost)
    {
        if (Volatile.Read(ref _open) <= atMost)
            return Task.CompletedTask;
        beforeWait();
        lock (_lock)
        {
            if (_open <= atMost)
                return Task.CompletedTask;
            _waitingFor = atMost;
            return (_waiting = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    /// <summary>The next answer, null for none, which may not be there yet. It must not fail.</summary>
    /// <returns>Whether it is there. Then it is sent with the next <see cref="SendReady"/>, or when others wait with it.</returns>
    public bool Add(ValueTask<ResponseWriter?> coming)
    {
        var awaiter = coming.ConfigureAwait(false).GetAwaiter();
        var isThere = awaiter.IsCompleted;
        Answer answer;
        bool send;
        lock (_lock)
        {
            answer = _unused.TryPop(out var used) ? used : new Answer(this);
            if (isThere)
                answer.Take(awaiter.GetResult());
            _answers.Enqueue(answer);
            _open++;
            send = isThere && ++_held >= MaxHeld;
        }
        if (!isThere)
            answer.WaitFor(awaiter);
        else if (send)
            SendReady();
        return isThere;
    }

    /// <inheritdoc/>
    void IThreadPoolWorkItem.Execute()
    {
        lock (_lock)
            _sendsLater = false;
        SendReady();
    }

    /// <summary>Until <see cref="SendHeld"/> nothing is sent by those who complete an answer: many are about to be.</summary>
    public void Hold()
    {
        lock (_lock)
            _holds = true;
    }

    /// <summary>Sends what is there since <see cref="Hold"/>.</summary>
    public void SendHeld()
    {
        lock (_lock)
            _holds = false;
        SendReady();
    }

    /// <summary>Sends what is there, unless somebody is at it, who then sends this, too.</summary>
    public void SendReady()
    {
        lock (_lock)
        {
            if (_sending || !_answers.TryPeek(out var first) || !first.IsThere)
                return;
            _sending = true;
        }
        _ = SendAsync();
    }

    private async Task SendAsync()
    {
        Answer? answer = null;
        var unsent = 0;
        while (true)
        {
            (answer, var isDone) = TakeNext(answer, ref unsent);
            if (isDone)
                return;
            try
            {
                // What is ready behind it goes out with it.
                if (answer is null)
                    await FlushAsync(isLast: true).ConfigureAwait(false);
                else if (answer.Response is { } response)
                    await PutAsync(response).ConfigureAwait(false);
            }
            catch (Exception fault)
            {
                // Whatever it was: the client cannot make sense of what follows.
                _isClosed = true;
                fail(fault);
            }
            if (answer is null)
                continue;
            answer.Response?.Dispose();
            unsent++;
        }
    }

    /// <summary>The next answer that is there; null where there is none. Then all is done, unless something was put together that is to be sent.</summary>
    private (Answer? Next, bool IsDone) TakeNext(Answer? previous, ref int unsent)
    {
        TaskCompletionSource? reached = null;
        (Answer? Next, bool IsDone) taken = default;
        lock (_lock)
        {
            if (previous is not null)
                Reuse(previous);
            var isAllSent = _together.Length == 0;
            if (isAllSent)
            {
                _open -= unsent;
                unsent = 0;
                if (_waiting is not null && _open <= _waitingFor)
                    (reached, _waiting) = (_waiting, null);
            }
            if (_answers.TryPeek(out var next) && next.IsThere)
            {
                taken.Next = _answers.Dequeue();
            }
            else if (isAllSent)
            {
                (_sending, _held) = (false, 0);
                taken.IsDone = true;
            }
        }
        reached?.SetResult();
        return taken;
    }

    private void Reuse(Answer answer)
    {
        answer.Clear();
        _unused.Push(answer);
    }

    private async ValueTask PutAsync(ResponseWriter response)
    {
        if (response.ClosesConnection)
        {
            await FlushAsync().ConfigureAwait(false);
            _isClosed = true;
            close();
        }
        if (_isClosed)
            return;
        if (response.LargestRecords >= CopyBytes)
        {
            if (response.HasSlices)
                await SendSlicesAsync(response).ConfigureAwait(false);
            else
                await SendFromThereAsync(response).ConfigureAwait(false);
            return;
        }
        foreach (var part in response.Frame())
        {
            _together.Write(part.Memory.Span);
            if (_together.Length >= CopyBytes)
                await FlushAsync().ConfigureAwait(false);
        }
    }

    private async ValueTask SendSlicesAsync(ResponseWriter response)
    {
        var pieceBytes = pieces.Take();
        try
        {
            // At once, or it would grow step by step, by copies.
            _together.GetSpan((int)Math.Min(pieceBytes - _together.Length, response.Length));
            foreach (var part in response.Frame())
            {
                if (part.Slice is { } slice)
                {
                    await SendSliceAsync(slice, pieceBytes).ConfigureAwait(false);
                }
                else if (part.Length < CopyBytes)
                {
                    _together.Write(part.Memory.Span);
                }
                else
                {
                    await FlushAsync().ConfigureAwait(false);
                    await SendAsync(part.Memory).ConfigureAwait(false);
                }
            }
        }
        finally
        {
            pieces.Return(pieceBytes);
        }
    }

    // Behind the fields before it, and its end before those that follow.
    private async ValueTask SendSliceAsync(LogSlice slice, int pieceBytes)
    {
        for (var start = 0; start < slice.Length && !_isClosed;)
        {
            if (_together.Length >= pieceBytes)
                await FlushAsync().ConfigureAwait(false);
            var count = Math.Min(slice.Length - start, pieceBytes - _together.Length);
            start += slice.Read(_together.GetSpan(count)[..count], start);
            _together.Advance(count);
        }
    }

    // Fields and records with one call: fields alone would wake the client for nothing.
    private async ValueTask SendFromThereAsync(ResponseWriter response)
    {
        var bytes = _together.Length;
        Gather(_together.WrittenMemory);
        foreach (var part in response.Frame())
        {
            for (var rest = part.Memory; !rest.IsEmpty; rest = rest[Math.Min(rest.Length, PieceBytes)..])
            {
                var piece = rest[..Math.Min(rest.Length, PieceBytes)];
                if (bytes + piece.Length > SendBytes || _pieces.Count == MaxPieces)
                {
                    await SendPiecesAsync().ConfigureAwait(false);
                    bytes = 0;
                }
                Gather(piece);
                bytes += piece.Length;
            }
        }
        await SendPiecesAsync().ConfigureAwait(false);
        _together.Clear();
    }

    private void Gather(ReadOnlyMemory<byte> bytes)
    {
        if (!bytes.IsEmpty)
            _pieces.Add(MemoryMarshal.TryGetArray(bytes, out var piece) ? piece : bytes.ToArray());
    }

    private async ValueTask SendPiecesAsync()
    {
        try
        {
            while (_pieces.Count > 0 && !_isClosed)
                Drop(await socket.SendAsync(_pieces, SocketFlags.None).ConfigureAwait(false));
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            _isClosed = true;
        }
        _pieces.Clear();
    }

    // What was sent; mostly all.
    private void Drop(int sent)
    {
        var done = 0;
        while (done < _pieces.Count && sent >= _pieces[done].Count)
            sent -= _pieces[done++].Count;
        _pieces.RemoveRange(0, done);
        if (sent > 0)
            _pieces[0] = _pieces[0][sent..];
    }

    private async ValueTask FlushAsync(bool isLast = false)
    {
        if (_together.Length > 0)
            await SendAsync(_together.WrittenMemory).ConfigureAwait(false);
        if (isLast)
            _together.Dispose(); // An idle connection has no memory.
        else
            _together.Clear();
    }

    private async ValueTask SendAsync(ReadOnlyMemory<byte> bytes)
    {
        try
        {
            while (!bytes.IsEmpty && !_isClosed)
                bytes = bytes[await socket.SendAsync(bytes[..Math.Min(bytes.Length, SendBytes)], SocketFlags.None).ConfigureAwait(false)..];
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            _isClosed = true;
        }
    }

    /// <summary>One request's answer: there, or waited for. Used again.</summary>
    private sealed class Answer
    {
        private readonly AnswerQueue _owner;
        private readonly Action _onCompleted;
        private ConfiguredValueTaskAwaitable<ResponseWriter?>.ConfiguredValueTaskAwaiter _coming;

        public Answer(AnswerQueue owner)
        {
            _owner = owner;
            _onCompleted = OnCompleted;
        }

        /// <summary>Set under the queue's lock.</summary>
        public bool IsThere { get; private set; }

        public ResponseWriter? Response { get; private set; }

        public void Take(ResponseWriter? response) => (Response, IsThere) = (response, true);

        public void WaitFor(ConfiguredValueTaskAwaitable<ResponseWriter?>.ConfiguredValueTaskAwaiter coming)
        {
            _coming = coming;
            coming.UnsafeOnCompleted(_onCompleted);
        }

        public void Clear() => (Response, IsThere) = (null, false);

        private void OnCompleted()
        {
            var response = _coming.GetResult();
            _coming = default;
            bool isAlone, isFirst;
            lock (_owner._lock)
            {
                Take(response);
                if (_owner._holds)
                    return;
                isAlone = _owner._open == 1;
                isFirst = !_owner._sendsLater;
                _owner._sendsLater |= !isAlone;
            }
            if (isAlone)
                _owner.SendReady();
            else if (isFirst)
                ThreadPool.UnsafeQueueUserWorkItem(_owner, preferLocal: false);
        }
    }
}
