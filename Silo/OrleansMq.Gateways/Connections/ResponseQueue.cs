using System.Runtime.CompilerServices;
using OrleansMq.Gateways.Connections.Loops;

namespace OrleansMq.Gateways.Connections;

/// <summary>
/// The responses of one connection in the order of its requests. A response is sent once it and all before it are complete; responses that
/// are complete together are sent with one call. One caller adds and waits. The thread that completes the next response sends it, and
/// what completes meanwhile.
/// </summary>
/// <param name="sender">Sends the responses.</param>
/// <param name="close">Called when a response closes the connection.</param>
/// <param name="fail">Called with a bug or a fault of the environment, which closes the connection too.</param>
/// <param name="beforeWait">Called by the caller that adds, before it waits.</param>
/// <param name="sent">Called when responses were sent, before the queue may be idle.</param>
internal sealed class ResponseQueue(ResponseSender sender, Action close, Action<Exception> fail, Action beforeWait, Action sent)
    : IThreadPoolWorkItem, IDeferredWork
{
    // Responses that wait to be sent together while the next request has already arrived.
    private const int MaxHeld = 16;

    private readonly Lock _lock = new();
    private readonly Queue<Entry> _entries = new();
    private readonly Stack<Entry> _unused = new();
    private TaskCompletionSource? _waiting;
    private int _waitingFor;
    private int _open;
    private int _held;
    private bool _sending;
    // Responses that one flush completes follow each other: the sender queues behind them in the thread pool.
    private bool _sendsLater;
    private bool _holds;

    private ConnectionLoop? CurrentLoop => sender.CurrentLoop;

    /// <summary>Whether nothing can be sent any more.</summary>
    public bool IsClosed => sender.IsClosed;

    /// <summary>Whether every request was answered.</summary>
    public bool IsIdle => Volatile.Read(ref _open) == 0;

    /// <summary>Returns once at most that many requests have a response that is missing or not sent.</summary>
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

    /// <summary>Adds the next response, which may be pending; null for none. It must not fail.</summary>
    /// <returns>Whether it is complete. Then it is sent with the next <see cref="SendReady"/>, or once several wait.</returns>
    public bool Add(ValueTask<Response?> pending)
    {
        var awaiter = pending.ConfigureAwait(false).GetAwaiter();
        var isComplete = awaiter.IsCompleted;
        Entry entry;
        bool send;
        lock (_lock)
        {
            entry = _unused.TryPop(out var used) ? used : new Entry(this);
            if (isComplete)
                entry.Take(awaiter.GetResult());
            _entries.Enqueue(entry);
            _open++;
            send = isComplete && ++_held >= MaxHeld;
        }
        if (!isComplete)
            entry.WaitFor(awaiter);
        else if (send)
            SendReady();
        return isComplete;
    }

    /// <inheritdoc/>
    void IThreadPoolWorkItem.Execute()
    {
        lock (_lock)
            _sendsLater = false;
        SendReady();
    }

    /// <inheritdoc/>
    bool IDeferredWork.IsDeferred { get; set; }

    /// <inheritdoc/>
    void IDeferredWork.Run() => SendReady();

    /// <summary>Holds responses back until <see cref="SendHeld"/>: many are about to complete.</summary>
    public void Hold()
    {
        lock (_lock)
            _holds = true;
    }

    /// <summary>Sends what has completed since <see cref="Hold"/>.</summary>
    public void SendHeld()
    {
        lock (_lock)
            _holds = false;
        SendReady();
    }

    /// <summary>Sends complete responses, unless a send is in progress, which then includes them.</summary>
    public void SendReady()
    {
        lock (_lock)
        {
            if (_sending || !_entries.TryPeek(out var first) || !first.IsComplete)
                return;
            _sending = true;
        }
        _ = SendAsync();
    }

    private async Task SendAsync()
    {
        Entry? entry = null;
        var unsent = 0;
        while (true)
        {
            (entry, var isDone) = TakeNext(entry, ref unsent);
            if (isDone)
                return;
            try
            {
                // Responses that are complete after it are sent with it.
                if (entry is null)
                    await sender.FlushAsync(isLast: true).ConfigureAwait(false);
                else if (entry.Response is { } response)
                    await PutAsync(response).ConfigureAwait(false);
            }
            catch (Exception fault)
            {
                // The client cannot parse what follows.
                sender.Close();
                fail(fault);
            }
            if (entry is null)
                continue;
            entry.Response?.Dispose();
            unsent++;
        }
    }

    /// <summary>Takes the next complete response; null where there is none. Then the send is done, unless the sender still holds
    /// bytes.</summary>
    private (Entry? Next, bool IsDone) TakeNext(Entry? previous, ref int unsent)
    {
        TaskCompletionSource? reached = null;
        (Entry? Next, bool IsDone) taken = default;
        lock (_lock)
        {
            if (previous is not null)
                Reuse(previous);
            var isAllSent = sender.IsFlushed;
            if (isAllSent)
            {
                if (unsent > 0)
                    sent();
                _open -= unsent;
                unsent = 0;
                if (_waiting is not null && _open <= _waitingFor)
                    (reached, _waiting) = (_waiting, null);
            }
            if (_entries.TryPeek(out var next) && next.IsComplete)
            {
                taken.Next = _entries.Dequeue();
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

    private void Reuse(Entry entry)
    {
        entry.Clear();
        _unused.Push(entry);
    }

    private async ValueTask PutAsync(Response response)
    {
        if (response.ClosesConnection)
        {
            await sender.FlushAsync().ConfigureAwait(false);
            sender.Close();
            close();
        }
        await sender.PutAsync(response).ConfigureAwait(false);
    }

    /// <summary>One request's response: complete or pending. Reused.</summary>
    private sealed class Entry
    {
        private readonly ResponseQueue _owner;
        private readonly Action _onCompleted;
        private ConfiguredValueTaskAwaitable<Response?>.ConfiguredValueTaskAwaiter _pending;

        public Entry(ResponseQueue owner)
        {
            _owner = owner;
            _onCompleted = OnCompleted;
        }

        /// <summary>Whether the response is complete. Set under the queue's lock.</summary>
        public bool IsComplete { get; private set; }

        public Response? Response { get; private set; }

        public void Take(Response? response) => (Response, IsComplete) = (response, true);

        public void WaitFor(ConfiguredValueTaskAwaitable<Response?>.ConfiguredValueTaskAwaiter pending)
        {
            _pending = pending;
            pending.UnsafeOnCompleted(_onCompleted);
        }

        public void Clear() => (Response, IsComplete) = (null, false);

        private void OnCompleted()
        {
            var response = _pending.GetResult();
            _pending = default;
            var loop = _owner.CurrentLoop;
            bool isAlone, isFirst;
            lock (_owner._lock)
            {
                Take(response);
                if (_owner._holds)
                    return;
                if (loop is not null)
                {
                    loop.Defer(_owner);
                    return;
                }
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
