using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// Sends messages to the home of queues in memory in their order, one frame at a time: those that come while a frame is on its way share
/// the next. Thread safe.
/// <code>
/// idle    -- a message comes          --> sending    a frame of this message
/// sending -- a message comes          --> sending    it waits
/// sending -- the frame is answered    --> sending, if messages wait; else idle
/// sending -- the home took none of it --> sending    the same frame, after a pause
/// </code>
/// <para>A frame without an answer is not sent again: its messages may be in their queues, and are <see cref="PublishOutcome.Unknown"/>. A
/// frame that the home does not take within <see cref="MaxWait"/> fails likewise, and so do messages that have waited that long behind a
/// failure. What waits is bounded by those that publish: channels have a window, and wait for its room.</para>
/// </summary>
/// <param name="ask">Sends a frame, and returns the answer; null if there is none.</param>
/// <param name="hasEnded">Returns whether the home's broker has ended for good, and its queues with it.</param>
/// <param name="room">The room for frames, and for batches to queues on the log.</param>
/// <param name="time">The clock.</param>
/// <param name="report">Takes lines for the log about messages that were not sent.</param>
internal sealed class HomeLane(Func<ReadOnlyMemory<byte>, Task<ReadOnlyMemory<byte>?>> ask, Func<bool> hasEnded, BatchRoom room,
    TimeProvider time, Action<string> report)
{
    /// <summary>The most messages of a frame.</summary>
    internal const int MaxMessages = PublishLane.MaxMessages;

    /// <summary>The most bytes of a frame, unless one message has more.</summary>
    internal const int MaxBytes = PublishLane.MaxBytes;

    /// <summary>How long a frame is tried, and how long messages wait behind one that failed.</summary>
    internal static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(15);

    private static readonly TimeSpan LeastWait = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MinPause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan MaxPause = TimeSpan.FromMilliseconds(400);

    private readonly Lock _lock = new();
    private readonly Queue<Publish> _waiting = new();
    // No other lane has it. Frames are numbered: the home takes none twice, and none that comes late behind the next.
    private readonly long _sender = VirtualHostOwner.NewId();
    private long _number;
    private bool _isSending;

    /// <summary>Sends a message.</summary>
    public Task<PublishOutcome> AddAsync(HomePublish message)
    {
        var publish = new Publish(message, time.GetTimestamp());
        lock (_lock)
        {
            _waiting.Enqueue(publish);
            if (_isSending)
                return publish.Task;
            _isSending = true;
        }
        _ = Task.Run(SendAllAsync);
        return publish.Task;
    }

    // The next frame is on its way while the messages of the one before are answered.
    private async Task SendAllAsync()
    {
        List<Publish> answered = [];
        var sent = new Sent([], false);
        while (true)
        {
            var batch = Take();
            var sending = batch is null ? null : SendAsync(batch, sent.HasFailed);
            for (var i = 0; i < answered.Count; i++)
                answered[i].SetResult(sent.Outcomes[i]);
            if (batch is null)
                return;
            answered = batch;
            sent = await sending!.ConfigureAwait(false);
            if (sent.HasFailed)
                GiveUpLate();
        }
    }

    private async Task<Sent> SendAsync(List<Publish> batch, bool isAgain)
    {
        var bytes = batch.Sum(static publish => publish.Bytes);
        // What has waited behind other frames has less time, and is tried once at least.
        var (began, pause, isTried) = (batch[0].Since, MinPause, false);
        try
        {
            while (!hasEnded())
            {
                var left = MaxWait - time.GetElapsedTime(began);
                if (!isTried && left < LeastWait)
                    left = LeastWait;
                isTried = true;
                if (left <= TimeSpan.Zero || !await room.EnterAsync(bytes, isAgain, left, time).ConfigureAwait(false))
                    return Fail(batch, "they were not taken in time");
                ReadOnlyMemory<byte>? answer;
                try
                {
                    answer = await ask(HomeFrames.Publishes((_sender, ++_number), [.. batch.Select(static publish => publish.Message)]))
                        .ConfigureAwait(false);
                }
                finally
                {
                    room.Exit(bytes, isAgain);
                }
                if (answer is not { } given)
                    return hasEnded() ? All(batch, PublishOutcome.Gone, hasFailed: false) : Fail(batch, "there was no answer");
                if (!HomeFrames.IsBusy(given))
                    return HomeFrames.ReadOutcomes(given, batch.Count) is { } outcomes ? new Sent(outcomes, false)
                        : Fail(batch, $"the answer has {given.Length} outcomes, not {batch.Count}");
                // The home took none of them: they come once, and in their order.
                isAgain = true;
                await Task.Delay(pause, time).ConfigureAwait(false);
                pause = pause * 2 < MaxPause ? pause * 2 : MaxPause;
            }
            return All(batch, PublishOutcome.Gone, hasFailed: false);
        }
        catch (Exception fault)
        {
            // Whatever it is, publishers are answered, and the lane goes on.
            return Fail(batch, fault.Message);
        }
    }

    private Sent Fail(List<Publish> batch, string why)
    {
        report($"{batch.Count} messages are not known to have arrived, among them one to queue '{batch[0].Message.Target.Queue}': {why}.");
        return All(batch, PublishOutcome.Unknown, hasFailed: true);
    }

    private static Sent All(List<Publish> batch, PublishOutcome outcome, bool hasFailed) =>
        new([.. Enumerable.Repeat(outcome, batch.Count)], hasFailed);

    private void GiveUpLate()
    {
        var late = new List<Publish>();
        lock (_lock)
        {
            while (_waiting.TryPeek(out var next) && time.GetElapsedTime(next.Since) >= MaxWait)
                late.Add(_waiting.Dequeue());
        }
        late.ForEach(static publish => publish.SetResult(PublishOutcome.Unknown));
    }

    private List<Publish>? Take()
    {
        lock (_lock)
        {
            if (_waiting.Count == 0)
            {
                _isSending = false;
                return null;
            }
            var batch = new List<Publish> { _waiting.Dequeue() };
            var bytes = batch[0].Bytes;
            while (batch.Count < MaxMessages && _waiting.TryPeek(out var next) && bytes + next.Bytes <= MaxBytes)
            {
                bytes += next.Bytes;
                batch.Add(_waiting.Dequeue());
            }
            return batch;
        }
    }

    private sealed class Publish(HomePublish message, long since) : TaskCompletionSource<PublishOutcome>
    {
        public HomePublish Message => message;

        // When it came, by the clock's timestamp.
        public long Since => since;

        public long Bytes => message.Message.Bytes;
    }

    private readonly record struct Sent(PublishOutcome[] Outcomes, bool HasFailed);
}
