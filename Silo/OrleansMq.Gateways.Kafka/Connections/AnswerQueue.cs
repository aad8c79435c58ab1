using System.Runtime.CompilerServices;
using OrleansMq.Gateways.Kafka.Connections.Loops;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Connections;

/// <summary>
/// The answers of one connection in the order of its requests: each is sent when it and all before it are there, several with one call
/// where they are ready together. One caller adds and waits; whoever has the next answer sends it, and what becomes ready meanwhile.
/// </summary>
/// <param name="sender">Where to.</param>
/// <param name="close">Called when an answer ends the connection.</param>
/// <param name="fail">Called with a fault of ours, which ends it too.</param>
/// <param name="beforeWait">Called by who adds, before he waits.</param>
/// <param name="sent">Called when answers were sent, before the queue may be idle.</param>
internal sealed class AnswerQueue(AnswerSender sender, Action close, Action<Exception> fail, Action beforeWait, Action sent)
    : IThreadPoolWorkItem, ITurnWork
{
    // Answers that wait for company while the next request is already there.
    private const int MaxHeld = 16;

    private readonly Lock _lock = new();
    private readonly Queue<Answer> _answers = new();
    private readonly Stack<Answer> _unused = new();
    private TaskCompletionSource? _waiting;
    private int _waitingFor;
    private int _open;
    private int _held;
    private bool _sending;
    // Those that a flush has answered together come one after the other: what sends them stands behind them in the pool's queue.
    private bool _sendsLater;
    private bool _holds;

    private ConnectionLoop? Turn => sender.Turn;

    /// <summary>Nothing can be sent any more.</summary>
    public bool IsClosed => sender.IsClosed;

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

    /// <inheritdoc/>
    ConnectionLoop? ITurnWork.DeferredBy { get; set; }

    /// <inheritdoc/>
    void ITurnWork.Run() => SendReady();

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
                    await sender.FlushAsync(isLast: true).ConfigureAwait(false);
                else if (answer.Response is { } response)
                    await PutAsync(response).ConfigureAwait(false);
            }
            catch (Exception fault)
            {
                // Whatever it was: the client cannot make sense of what follows.
                sender.Close();
                fail(fault);
            }
            if (answer is null)
                continue;
            answer.Response?.Dispose();
            unsent++;
        }
    }

    /// <summary>The next answer that is there; null where there is none. Then all is done, unless something was put together that is to be
    /// sent.</summary>
    private (Answer? Next, bool IsDone) TakeNext(Answer? previous, ref int unsent)
    {
        TaskCompletionSource? reached = null;
        (Answer? Next, bool IsDone) taken = default;
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
            await sender.FlushAsync().ConfigureAwait(false);
            sender.Close();
            close();
        }
        await sender.PutAsync(response).ConfigureAwait(false);
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
            var turn = _owner.Turn;
            bool isAlone, isFirst;
            lock (_owner._lock)
            {
                Take(response);
                if (_owner._holds)
                    return;
                if (turn is not null)
                {
                    turn.Defer(_owner);
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
