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
    // What one receive is to bring at most, and how many messages of what size are expected before the first ones came.
    private const int ReceivedBytes = 1 << 20;
    private const int FirstReceived = 16;
    private const int FirstBytes = 64 << 10;
    // Deliveries of one receive are sent together, up to this much.
    private const int TogetherBytes = 64 << 10;
    // Between two attempts to read a message again, and how long others of the connection wait for one.
    private static readonly TimeSpan ReadPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan MaxTurn = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(30);

    private readonly AmqpChannel _channel;
    private readonly CancellationTokenSource _stop = new();
    private readonly List<Task> _returned = [];
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task _running = Task.CompletedTask;
    private TaskCompletionSource? _credit;
    // Of the last messages that it received; 0: of none.
    private int _largest;
    // Of what it has delivered last: it counts until there is room for more, since it may be in the connection's output.
    private int _sentBytes;
    // Of deliveries that the channel has, and does not send yet.
    private int _unsentBytes;
    private bool _isBusy;

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
    public void Start()
    {
        if (!Reader.KeepsMessages)
            _channel.Deliveries.Add();
        _running = Task.Run(RunAsync);
    }

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
        var received = new Queue<Received>();
        try
        {
            while (await WaitForCreditAsync().ConfigureAwait(false) is > 0 and var credit)
            {
                await ReceiveAsync(credit, received).ConfigureAwait(false);
                if (received.Count == 0)
                    continue;
                SetBusy(true);
                while (received.TryDequeue(out var message))
                    await DeliverAsync(message, isLast: received.Count == 0).ConfigureAwait(false);
                Send();
                SetBusy(false);
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
        Send();
        while (received.TryDequeue(out var left))
            _channel.Deliveries.Copies.Give(left.Bytes);
        GiveSent();
        SetBusy(false);
        if (!Reader.KeepsMessages)
            _channel.Deliveries.Remove();
        // The reader logs a failure.
        await Task.WhenAll(_returned).WaitAsync(AmqpChannel.MaxReturning, _channel.Time)
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async ValueTask ReceiveAsync(int credit, Queue<Received> into)
    {
        var received = await Reader.ReceiveAsync(Math.Min(credit, Most()), MaxWait, _stop.Token).ConfigureAwait(false);
        if (received.Count > 0)
            _largest = received.Max(static one => one.Message.Bytes);
        foreach (var held in received)
        {
            var bytes = Reader.KeepsMessages ? 0 : held.Message.Bytes;
            into.Enqueue(bytes == 0 || _channel.Deliveries.Copies.TryTake(bytes) ? new Received(held.Message, held.Hold,
                held.IsRedelivered, bytes) : new Received(null, held.Hold, held.IsRedelivered, 0));
        }
    }

    private void SetBusy(bool isBusy)
    {
        if (_isBusy == isBusy || Reader.KeepsMessages)
            return;
        _isBusy = isBusy;
        if (isBusy)
            _channel.Deliveries.Begin();
        else
            _channel.Deliveries.End();
    }

    // Messages of a queue are mostly of a size.
    private int Most() => _largest == 0
        ? Reader.KeepsMessages ? FirstReceived : (int)Math.Clamp(_channel.Deliveries.FirstShare / FirstBytes, 1, FirstReceived)
        : (int)Math.Clamp((Reader.KeepsMessages ? ReceivedBytes : Math.Min(_channel.Deliveries.Share, ReceivedBytes)) / _largest, 1,
            MaxReceived);

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
                wait = NextCredit();
            }
            await wait.ConfigureAwait(false);
        }
    }

    // A stopped consumer waits for no client that does not read: it returns what it has received.
    private async ValueTask WaitForRoomAsync()
    {
        var room = _channel.WaitForRoomAsync();
        if (!room.IsCompleted)
        {
            Send();
            await Task.WhenAny(room, _stopped.Task).ConfigureAwait(false);
        }
        GiveSent();
    }

    private void GiveSent()
    {
        _channel.Deliveries.Copies.Give(_sentBytes);
        _sentBytes = 0;
    }

    // Each waits for room: a client that does not read costs what was received at once, and not a second copy of it.
    private async ValueTask DeliverAsync(Received received, bool isLast)
    {
        var outcome = received.Message is { } message
            ? await DeliverAsync(new HeldMessage(message, received.Hold, received.IsRedelivered), isLast).ConfigureAwait(false)
            : await ReadAndDeliverAsync(received).ConfigureAwait(false);
        GiveSent();
        _sentBytes = received.Bytes;
        if (outcome == Outcome.Stopped)
        {
            _returned.Add(Reader.SettleAsync(received.Hold, Settlement.Return));
            return;
        }
        if (outcome == Outcome.Gone || IsNoAck)
            _ = Reader.SettleAsync(received.Hold, Settlement.Accept);
    }

    private async ValueTask<Outcome> DeliverAsync(HeldMessage message, bool isLast)
    {
        await WaitForRoomAsync().ConfigureAwait(false);
        Outcome outcome;
        while ((outcome = TryDeliver(message, isLast)) == Outcome.LacksCredit)
            await WaitForSharedCreditAsync().ConfigureAwait(false);
        return outcome;
    }

    // The turn is of the connection: it is not held while the consumer waits for what only this channel has, nor for long.
    private async ValueTask<Outcome> ReadAndDeliverAsync(Received received)
    {
        Task<AmqpMessage?>? reading = null;
        Send();
        try
        {
            while (true)
            {
                await WaitForSharedCreditAsync().ConfigureAwait(false);
                await _channel.Deliveries.Turn.WaitAsync(_stop.Token).ConfigureAwait(false);
                try
                {
                    await WaitForRoomAsync().ConfigureAwait(false);
                    if (!MayDeliver(out var isStopped))
                    {
                        if (isStopped)
                            return Outcome.Stopped;
                        continue;
                    }
                    reading ??= Reader.ReadAsync(received.Hold).AsTask();
                    var message = await reading.WaitAsync(MaxTurn, _channel.Time, _stop.Token).ConfigureAwait(false);
                    reading = null;
                    if (message is null)
                        return Outcome.Gone;
                    // One that goes meanwhile would not get it. Others may have filled the room; it is delivered all the same, or it could
                    // be read again and again.
                    if (!_channel.CanDeliver)
                        continue;
                    var outcome = TryDeliver(new HeldMessage(message, received.Hold, received.IsRedelivered), isLast: true);
                    if (outcome != Outcome.LacksCredit)
                        return outcome;
                    continue;
                }
                catch (TimeoutException)
                {
                    // The read goes on. Others have their turn.
                    continue;
                }
                catch (BrokerException gone) when (LogQueue.IsGone(gone.Code))
                {
                    throw new QueueGoneException(gone);
                }
                catch (BrokerException fault) when (fault.Action == ErrorAction.Retry)
                {
                    // The partition has no leader now, or one that does not know all of it yet.
                    reading = null;
                }
                finally
                {
                    _channel.Deliveries.Turn.Release();
                }
                await Task.Delay(ReadPause, _channel.Time, _stop.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            return Outcome.Stopped;
        }
        finally
        {
            _ = reading?.ContinueWith(static late => _ = late.Exception, CancellationToken.None,
                TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
        }
    }

    private bool MayDeliver(out bool isStopped)
    {
        lock (_channel.Gate)
            return !(isStopped = IsStopped) && HasSharedCredit;
    }

    // A shared limit may be used up by other consumers while this one received. What counts as acknowledged is sent at once: nothing
    // would bring it again.
    private Outcome TryDeliver(HeldMessage message, bool isLast)
    {
        lock (_channel.Gate)
        {
            if (IsStopped)
                return Outcome.Stopped;
            if (!HasSharedCredit)
                return Outcome.LacksCredit;
            _channel.AddDelivery(this, message);
        }
        _unsentBytes += message.Message.Bytes;
        if (isLast || IsNoAck || _unsentBytes >= TogetherBytes)
            Send();
        return Outcome.Delivered;
    }

    private void Send()
    {
        if (_unsentBytes == 0)
            return;
        _unsentBytes = 0;
        _channel.Flush();
    }

    // Returns at once where it is stopped.
    private async ValueTask WaitForSharedCreditAsync()
    {
        while (true)
        {
            Task wait;
            lock (_channel.Gate)
            {
                if (IsStopped || HasSharedCredit)
                    return;
                wait = NextCredit();
            }
            Send();
            await wait.ConfigureAwait(false);
        }
    }

    // Completes with the next Wake. Under the channel's lock.
    private Task NextCredit() =>
        (_credit ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    // Under the channel's lock.
    private bool HasSharedCredit => IsNoAck || _channel.SharedCredit is not <= 0;

    private enum Outcome
    {
        None = 0,
        Delivered,
        LacksCredit,
        Stopped,
        // The queue has the message no more.
        Gone,
    }

    /// <summary>A message that it has received, and not delivered.</summary>
    /// <param name="Message">The message; null: it had no room.</param>
    /// <param name="Hold">What settles it.</param>
    /// <param name="IsRedelivered">Whether it may have been delivered before.</param>
    /// <param name="Bytes">What it takes of the connection's memory.</param>
    private readonly record struct Received(AmqpMessage? Message, MessageHold Hold, bool IsRedelivered, int Bytes);
}
