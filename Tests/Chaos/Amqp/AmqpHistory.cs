using OrleansMq.Tests.Chaos.Queues;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Amqp;

/// <summary>A delivery as a client sees it.</summary>
/// <param name="Id">The message; null if no message has its body.</param>
/// <param name="IsRedelivered">The flag of the delivery.</param>
/// <param name="Failures">The header <c>x-delivery-count</c>; 0 without it.</param>
/// <param name="Reason">Of a dead letter, the header <c>x-first-death-reason</c>.</param>
/// <param name="DeathQueue">Of a dead letter, the header <c>x-first-death-queue</c>.</param>
internal readonly record struct AmqpDelivery(MessageId? Id, bool IsRedelivered, long Failures = 0, string? Reason = null,
    string? DeathQueue = null);

/// <summary>
/// Everything that AMQP clients of one process did and saw, judged against what the gateway promises. Thread safe.
/// <para>
/// The events are ordered by a clock that ticks with each: an act before it is sent, an answer or a delivery after it was received. A
/// delivery may have been made long before it was received, since a broker may be paused in between. It was surely made after its channel
/// began to consume, and after each message was published that the channel delivered before it. So a channel has a moment before which it
/// delivers nothing any more (<see cref="Channel.After"/>), and what was settled before that moment is settled for its next delivery. So is
/// what the channel itself has settled: it delivers in the order of the locks, and only the latest lock settles.
/// </para>
/// <para>
/// <c>basic.ack</c> has no answer and proves nothing. <c>tx.commit-ok</c> proves that the acknowledgements before it are stored.
/// </para>
/// </summary>
internal sealed class AmqpHistory(Violations violations)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<MessageId, Message> _messages = [];
    private readonly Dictionary<(string Queue, MessageId Id), Story> _stories = [];
    private readonly Dictionary<(int Publisher, string Queue), int> _numbers = [];
    private readonly Dictionary<(int Publisher, string Queue), int> _latest = [];
    private readonly Dictionary<string, int> _ended = [];
    private readonly List<Channel> _channels = [];
    private long _clock;
    private int _publishers;

    /// <summary>Messages that were confirmed.</summary>
    public int Confirmed { get; private set; }

    /// <summary>Deliveries.</summary>
    public int Delivered { get; private set; }

    /// <summary>Acknowledgements that a commit proves.</summary>
    public int Committed { get; private set; }

    /// <summary>Deliveries of messages that were acknowledged before, without a proof.</summary>
    public int AcknowledgedInVain { get; private set; }

    /// <summary>Dead letters.</summary>
    public int Letters { get; private set; }

    /// <summary>Returns the number of a new channel that publishes.</summary>
    public int NewPublisher()
    {
        lock (_lock)
            return _publishers++;
    }

    /// <summary>A channel is about to publish its next message to a queue.</summary>
    public MessageId Publish(int publisher, string queue)
    {
        lock (_lock)
        {
            var number = _numbers.GetValueOrDefault((publisher, queue));
            _numbers[(publisher, queue)] = number + 1;
            var id = new MessageId(queue, publisher, number);
            _messages.Add(id, new Message { Began = ++_clock });
            return id;
        }
    }

    /// <summary>A message was confirmed.</summary>
    public void Confirm(MessageId id)
    {
        lock (_lock)
        {
            _messages[id].IsConfirmed = true;
            Confirmed++;
        }
    }

    /// <summary>A message came back as unroutable, though its queue was declared.</summary>
    public void Unroutable(MessageId? id) => violations.Report(ViolationKind.Lost, $"{id} was returned as unroutable.");

    /// <summary>A channel is about to consume a queue. Returns its number.</summary>
    public int Open(string queue)
    {
        lock (_lock)
        {
            _channels.Add(new Channel { Queue = queue, After = ++_clock });
            return _channels.Count - 1;
        }
    }

    /// <summary>A channel has ended, or is about to be closed.</summary>
    public void End(int channel)
    {
        lock (_lock)
            _ended[_channels[channel].Queue] = EndedOf(_channels[channel].Queue) + 1;
    }

    /// <summary>A channel received a delivery.</summary>
    public void Deliver(int channel, AmqpDelivery seen)
    {
        lock (_lock)
        {
            Delivered++;
            var (queue, where) = (_channels[channel].Queue, $"Queue {_channels[channel].Queue}, channel {channel}");
            if (seen.Id is not { } id)
                violations.Report(ViolationKind.Damaged, $"{where}: a body that no message has.");
            else if (!_messages.TryGetValue(id, out var message) || (id.Queue != queue && queue != AmqpLoad.Letters))
                violations.Report(ViolationKind.NeverSent, $"{where}: {id} was never published there.");
            else
                Judge(channel, message, id, seen, $"{where}: {id}");
        }
    }

    /// <summary>A channel is about to answer a delivery.</summary>
    public void Try(int channel, MessageId id, Answer answer)
    {
        lock (_lock)
        {
            var tried = StoryOf(_channels[channel].Queue, id).Tried;
            tried[answer] = tried.GetValueOrDefault(answer) + 1;
        }
    }

    /// <summary>A commit was answered.</summary>
    public void Commit(int channel, IEnumerable<(MessageId Id, Answer Answer)> answers)
    {
        lock (_lock)
        {
            var now = ++_clock;
            foreach (var (id, answer) in answers)
            {
                var story = StoryOf(_channels[channel].Queue, id);
                if (answer == Answer.Accept)
                {
                    Committed++;
                    story.Settled.Add((now, channel));
                }
                // A rejected message stays where its dead letter cannot be stored.
                else if (answer == Answer.Fail)
                {
                    story.Failed.Add((now, channel));
                }
            }
        }
    }

    /// <summary>The confirmed messages that no consumer has accepted yet, in their queue or as a dead letter.</summary>
    public IReadOnlyList<MessageId> Missing()
    {
        lock (_lock)
            return [.. _messages.Where(static message => message.Value.IsConfirmed).Select(static message => message.Key)
                .Where(id => !HasEnded(id))];
    }

    /// <summary>Judges, once faults have ended and all queues are empty.</summary>
    public void Judge()
    {
        foreach (var id in Missing())
        {
            var letter = _stories.GetValueOrDefault((AmqpLoad.Letters, id));
            var kind = AmqpLoad.IsRefused(id) && letter is null ? ViolationKind.LetterMissing : ViolationKind.Lost;
            violations.Report(kind, $"{id} was confirmed, and has left its queue: {_stories.GetValueOrDefault((id.Queue, id))}; its dead "
                + $"letter: {letter?.ToString() ?? "none"}.");
        }
    }

    private bool HasEnded(MessageId id) => HasAccepted(AmqpLoad.Letters, id) || (!AmqpLoad.IsRefused(id) && HasAccepted(id.Queue, id));

    private bool HasAccepted(string queue, MessageId id) =>
        _stories.GetValueOrDefault((queue, id))?.Tried.ContainsKey(Answer.Accept) == true;

    private int EndedOf(string queue) => _ended.GetValueOrDefault(queue);

    private Story StoryOf(string queue, MessageId id)
    {
        if (!_stories.TryGetValue((queue, id), out var story))
            _stories[(queue, id)] = story = new Story();
        return story;
    }

    private void Judge(int number, Message message, MessageId id, AmqpDelivery seen, string where)
    {
        var channel = _channels[number];
        channel.After = Math.Max(channel.After, message.Began);
        var story = StoryOf(channel.Queue, id);
        var isFirst = story.Deliveries == 0;
        story.Deliveries++;
        story.Unflagged += seen.IsRedelivered ? 0 : 1;
        if (story.Settled.Count(IsBefore) >= CopiesOf(channel.Queue, id, seen))
            violations.Report(ViolationKind.SettledAgain, $"{where} was acknowledged by a commit, and was delivered after "
                + $"{channel.After}: {story}");
        else if (story.Tried.ContainsKey(Answer.Accept))
            AcknowledgedInVain++;
        JudgeFailures(channel.Queue, story.Failed.Count(IsBefore), seen, where);
        if (channel.Queue == AmqpLoad.Letters)
        {
            Letters += isFirst ? 1 : 0;
            JudgeLetter(id, story, seen, where);
            return;
        }
        if (story.Unflagged > 1 && !seen.IsRedelivered)
            violations.Report(ViolationKind.NotFlagged, $"{where} was delivered twice as never delivered before: {story}");
        if (channel.Queue == AmqpLoad.Single && isFirst)
            JudgeOrder(id, where);

        bool IsBefore((long Moment, int Channel) commit) => commit.Moment < channel.After || commit.Channel == number;
    }

    // A dead letter is stored before its message leaves, so that each rejection may store one. Failures are counted less exactly.
    private int CopiesOf(string queue, MessageId id, AmqpDelivery seen) => queue != AmqpLoad.Letters ? 1
        : seen.Reason == "rejected" ? Math.Max(StoryOf(id.Queue, id).Tried.GetValueOrDefault(Answer.Reject), 1) : int.MaxValue;

    private void JudgeFailures(string queue, int least, AmqpDelivery seen, string where)
    {
        var most = AmqpLoad.LimitOf(queue);
        if (seen.Failures < least || seen.Failures > most)
            violations.Report(ViolationKind.CountWrong, $"{where} has failed {least} to {most} times, and was delivered with a count of "
                + $"{seen.Failures}.");
    }

    // A single consumer has had every message of a publisher when it gets the next one, on whichever channel.
    private void JudgeOrder(MessageId id, string where)
    {
        if (_latest.TryGetValue((id.Publisher, id.Queue), out var latest) && id.Number < latest)
            violations.Report(ViolationKind.Reordered, $"{where} was delivered for the first time after number {latest}.");
        else
            _latest[(id.Publisher, id.Queue)] = id.Number;
    }

    private void JudgeLetter(MessageId id, Story letter, AmqpDelivery seen, string where)
    {
        var source = StoryOf(id.Queue, id);
        var rejects = source.Tried.GetValueOrDefault(Answer.Reject);
        // A consumer that dies with its channel fails what it holds. So does one whose broker is silent for long, which no client sees.
        var failures = source.Tried.GetValueOrDefault(Answer.Fail) + EndedOf(id.Queue);
        var isRight = seen.DeathQueue == id.Queue && seen.Reason switch
        {
            "rejected" => rejects > 0,
            "delivery_limit" => AmqpLoad.FateOf(id) == RecordFate.AlwaysFails || failures > AmqpLoad.LimitOf(id.Queue),
            _ => false,
        };
        if (!isRight)
            violations.Report(ViolationKind.LetterWrong, $"{where} is a dead letter of queue '{seen.DeathQueue}' by '{seen.Reason}'; it "
                + $"was rejected {rejects} times, and may have failed {failures} times.");
        else if (letter.Unflagged > CopiesOf(AmqpLoad.Letters, id, seen) && !seen.IsRedelivered)
            violations.Report(ViolationKind.LetterDoubled, $"{where} has {letter.Unflagged} dead letters, and was rejected {rejects} "
                + "times.");
    }

    private sealed class Message
    {
        /// <summary>When it was about to be published.</summary>
        public long Began { get; init; }
        public bool IsConfirmed { get; set; }
    }

    private sealed class Channel
    {
        public required string Queue { get; init; }

        /// <summary>Its next delivery is made after this moment.</summary>
        public long After { get; set; }
    }

    /// <summary>What is known of a message in a queue.</summary>
    private sealed class Story
    {
        public int Deliveries { get; set; }
        public int Unflagged { get; set; }
        public Dictionary<Answer, int> Tried { get; } = [];

        /// <summary>When acknowledgements were proved, and on which channels.</summary>
        public List<(long Moment, int Channel)> Settled { get; } = [];

        /// <summary>When failures were proved, and on which channels.</summary>
        public List<(long Moment, int Channel)> Failed { get; } = [];

        public override string ToString() => $"{Deliveries} deliveries, {Unflagged} as the first, answered "
            + $"{string.Join(", ", Tried.Select(static tried => $"{tried.Value} x {tried.Key}"))}, committed at "
            + $"{string.Join(", ", Settled.Select(static settled => settled.Moment))}";
    }
}
