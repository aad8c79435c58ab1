using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;

namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>
/// A consumer of a channel: a loop that receives as much as its credit and the client's pace allow, and delivers. It ends when it is
/// cancelled, when its queue is deleted, or with its channel; what it holds stays until the channel settles it or ends.
/// </summary>
internal sealed class ChannelConsumer : IQueueConsumer
{
    // What is received at once without a limit: the pace of the client's socket decides on the next.
    private const int MaxReceived = 256;
    // What one receive is to bring, and how many messages are taken for that before the first ones came.
    private const int ReceivedBytes = 1 << 20;
    private const int FirstReceived = 16;
    private static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(30);

    private readonly AmqpChannel _channel;
    private readonly CancellationTokenSource _stop = new();
    private readonly List<Task> _returned = [];
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task _running = Task.CompletedTask;
    private TaskCompletionSource? _credit;
    private int _most = FirstReceived;

    public ChannelConsumer(AmqpChannel channel, string tag, QueueEntry entry, IQueueReader reader, bool isNoAck, int limit) =>
        (_channel, Tag, Entry, Reader, IsNoAck, Limit) = (channel, tag, entry, reader, isNoAck, limit);

    /// <summary>Its tag.</summary>
    public string Tag { get; }

    /// <summary>Its queue.</summary>
    public QueueEntry Entry { get; }

    /// <summary>Its way to the queue.</summary>
    public IQueueReader Reader { get; }

    /// <summary>Whether deliveries count as acknowledged.</summary>
    public bool IsNoAck { get; }

    /// <summary>The most deliveries that are not acknowledged; 0 for no limit.</summary>
    public int Limit { get; }

    /// <summary>How long it may hold a delivery; zero for ever.</summary>
    public TimeSpan Timeout { get; init; }

    /// <summary>Whether it is the queue's only one.</summary>
    public bool IsExclusive { get; init; }

    /// <summary>Its arguments.</summary>
    public FieldTable Arguments { get; init; }

    /// <summary>Its deliveries that are not acknowledged. Under the channel's lock.</summary>
    public int Unacknowledged { get; set; }

    /// <summary>These deliveries, without those that an open transaction settles. Under the channel's lock.</summary>
    public HeldDeliveries Held { get; } = new();

    /// <summary>Whether nothing more is delivered. Under the channel's lock.</summary>
    public bool IsStopped { get; private set; }

    /// <summary>Describes it.</summary>
    public ConsumerDescription Describe() => new(Tag, Entry.State.Name, IsNoAck, IsExclusive, Limit, Arguments);

    /// <summary>Begins to deliver.</summary>
    public void Start() => _running = Task.Run(RunAsync);

    /// <summary>There may be credit. Under the channel's lock.</summary>
    public void Wake()
    {
        _credit?.TrySetResult();
        _credit = null;
    }

    /// <summary>Delivers nothing more from now on. Under the channel's lock.</summary>
    public void Stop()
    {
        IsStopped = true;
        _stopped.TrySetResult();
        Wake();
    }

    /// <summary>Waits until it receives nothing more; what was received and not delivered is returned.</summary>
    public async Task EndAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public void QueueEnded() => _channel.QueueEnded(this);

    private async Task RunAsync()
    {
        try
        {
            while (await WaitForCreditAsync().ConfigureAwait(false) is > 0 and var credit)
            {
                var received = await Reader.ReceiveAsync(Math.Min(credit, _most), MaxWait, _stop.Token).ConfigureAwait(false);
                // Messages of a queue are mostly of a size.
                if (received.Count > 0)
                    _most = Math.Clamp(ReceivedBytes / received.Max(static one => one.Message.Bytes), 1, MaxReceived);
                foreach (var message in received)
                    await DeliverAsync(message).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            // It is cancelled.
        }
        catch (QueueGoneException)
        {
            _channel.QueueEnded(this);
        }
        catch (Exception fault)
        {
            _channel.ConsumerFailed(this, fault);
        }
        // The reader logs a failure.
        await Task.WhenAll(_returned).WaitAsync(AmqpChannel.MaxReturning, _channel.Time)
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    // 0: it is stopped.
    private async ValueTask<int> WaitForCreditAsync()
    {
        while (true)
        {
            await WaitForRoomAsync().ConfigureAwait(false);
            Task wait;
            lock (_channel.Gate)
            {
                if (IsStopped)
                    return 0;
                var credit = IsNoAck ? MaxReceived
                    : Math.Min(Limit == 0 ? MaxReceived : Limit - Unacknowledged, _channel.SharedCredit is { } shared ? Math.Min(shared, 1)
                    : MaxReceived);
                if (credit > 0)
                    return Math.Min(credit, MaxReceived);
                wait = (_credit ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
            }
            await wait.ConfigureAwait(false);
        }
    }

    // A stopped consumer waits for no client that does not read: it returns what it has received.
    private Task WaitForRoomAsync()
    {
        var room = _channel.WaitForRoomAsync();
        return room.IsCompleted ? Task.CompletedTask : Task.WhenAny(room, _stopped.Task);
    }

    // Each waits for room: a client that does not read costs what was received at once, and not a second copy of it. A shared limit may
    // be used up by other consumers while this one received.
    private async ValueTask DeliverAsync(HeldMessage message)
    {
        await WaitForRoomAsync().ConfigureAwait(false);
        while (true)
        {
            Task wait;
            lock (_channel.Gate)
            {
                if (IsStopped)
                    break;
                if (IsNoAck || _channel.SharedCredit is not <= 0)
                {
                    _channel.AddDelivery(this, message);
                    wait = Task.CompletedTask;
                }
                else
                {
                    wait = (_credit ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
                }
            }
            if (wait.IsCompleted)
            {
                _channel.Flush();
                if (IsNoAck)
                    _ = Reader.SettleAsync(message.Hold, Settlement.Accept);
                return;
            }
            await wait.ConfigureAwait(false);
        }
        _returned.Add(Reader.SettleAsync(message.Hold, Settlement.Return));
    }
}
