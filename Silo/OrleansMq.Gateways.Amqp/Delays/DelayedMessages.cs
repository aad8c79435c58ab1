using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.VirtualHosts;
using FieldTable = OrleansMq.Gateways.Amqp.Wire.FieldTable;
using FieldValue = OrleansMq.Gateways.Amqp.Wire.FieldValue;

namespace OrleansMq.Gateways.Amqp.Delays;

/// <summary>
/// Exchanges of type <c>x-delayed-message</c>. A message with a delay becomes a schedule of the broker, which appends it to the virtual
/// host's queue of due messages at its time, once. One broker consumes that queue and routes each message by the bindings that its exchange
/// has then. A message that bindings, or an alternate exchange, lead to such an exchange is delayed as one that is published there; its
/// other queues have it at once. A message is delayed once: its header is below 0 then. Thread safe.
/// <code>
/// published -> scheduled    the schedule is stored: the publish is confirmed
/// scheduled -> due          its time has come: it is in the queue amq.delayed, which no client can declare or consume
/// due       -> routed       every queue that it is routed to has it: it is settled
/// </code>
/// <para>Failures: a schedule without an answer is asked for again under its id. A router that ends between the last two states leaves the
/// message due: it is routed again, and comes twice. A message whose exchange is deleted is dropped when it is due. One for a queue that is
/// full, or cannot be reached, stays due, and is given to that queue alone again. One whose routing takes too many steps stays due, too.
/// None keeps those behind it.</para>
/// </summary>
/// <param name="registry">The queues.</param>
/// <param name="broker">The broker.</param>
internal sealed class DelayedMessages(QueueRegistry registry, IBroker broker) : IAsyncDisposable
{
    /// <summary>The header with the delay in milliseconds; of a message that was delayed, below 0.</summary>
    public const string Header = "x-delay";

    /// <summary>The queue of due messages.</summary>
    public const string DueQueue = ExchangeTypes.ReservedPrefix + "delayed";

    // That of a virtual host that is made for the first time. One that is made again has another queue under the name.
    private const long FirstDueQueueId = 0x64656c61796564;
    // Beside those of the message its record has some of the broker's: the exchange that delays it among them.
    private const int MaxHeaders = RoutedSchedules.MaxHeaders - 20;
    private const int MaxBytes = NewSchedule.MaxBytes - 512;
    private const int MaxAttempts = 10;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(200);

    private readonly ConcurrentDictionary<(string VirtualHost, int FirstEpoch), Lazy<Task<DueMessages>>> _hosts = new();

    /// <summary>Returns how long exchanges that delay keep a message back; null if they route it at once.</summary>
    /// <param name="headers">The message's headers; null for none.</param>
    public static TimeSpan? DelayOf(FieldTable? headers) => headers?.Find("x-delay"u8)?.Integer is > 0 and var delay
        ? TimeSpan.FromMilliseconds(Math.Min(delay, (long)TimeSpan.MaxValue.TotalMilliseconds - 1)) : null;

    /// <summary>Returns why a message cannot be delayed; null if it can, or has no delay.</summary>
    public static string? FaultOf(AmqpMessage message)
    {
        if (DelayOf(message.Properties.Headers) is not { } delay)
            return null;
        if (delay > NewSchedule.MaxAhead)
            return $"{Header} is {delay.TotalMilliseconds:0}, at most {NewSchedule.MaxAhead.TotalMilliseconds:0} milliseconds are allowed";
        if (message.Properties.Headers?.Entries().Count() > MaxHeaders)
            return $"a delayed message has at most {MaxHeaders} headers";
        return MessageRecords.BytesOf(message) is > MaxBytes and var bytes
            ? $"a delayed message has at most {MaxBytes} bytes with its properties, not {bytes}" : null;
    }

    /// <summary>Has a virtual host's due messages routed from now on. Called where it has an exchange that delays.</summary>
    /// <exception cref="BrokerException">Their queue cannot be opened.</exception>
    public Task OpenAsync(string virtualHost) => HostAsync(virtualHost);

    /// <summary>Publishes a message after its delay.</summary>
    /// <param name="virtualHost">The virtual host.</param>
    /// <param name="message">The message, with a delay.</param>
    /// <param name="exchange">The exchange that delays it, and routes it then.</param>
    public async Task<PublishOutcome> PublishAsync(string virtualHost, AmqpMessage message, string exchange)
    {
        var delay = DelayOf(message.Properties.Headers) ?? TimeSpan.Zero;
        try
        {
            var host = await HostAsync(virtualHost).ConfigureAwait(false);
            var delayed = message with
            {
                Properties = message.Properties.WithHeader(Header, delay.TotalMilliseconds <= int.MaxValue
                    ? FieldValue.Of(-(int)delay.TotalMilliseconds) : FieldValue.Of(-(long)delay.TotalMilliseconds)),
                DelayedBy = exchange == message.Exchange ? null : exchange,
            };
            var schedule = new NewSchedule(host.Topic)
            {
                Id = Guid.NewGuid().ToString("N"),
                At = DateTimeOffset.FromUnixTimeMilliseconds(message.Published) + delay,
                Partition = 0,
                Value = delayed.Body,
                Headers = MessageRecords.HeadersOf(delayed),
            };
            for (var attempt = 1; !await TryCreateAsync(schedule, attempt).ConfigureAwait(false); attempt++)
                await Task.Delay(Pause, registry.Time).ConfigureAwait(false);
            return PublishOutcome.Accepted;
        }
        catch (BrokerException fault)
        {
            registry.Log.Write(EngineLogLevel.Warning,
                $"A message to exchange '{exchange}' was not scheduled: {fault.Code}: {fault.Message}");
            return fault.Code switch
            {
                ErrorCode.PolicyViolation => PublishOutcome.Refused,
                ErrorCode.MessageTooLarge => PublishOutcome.TooLarge,
                _ => PublishOutcome.Unknown,
            };
        }
    }

    /// <summary>A virtual host is deleted, and its delayed messages with it. Those of one that is made again under the name stay.</summary>
    /// <param name="virtualHost">Its name.</param>
    /// <param name="firstEpoch">Its first epoch.</param>
    public async Task EndAsync(string virtualHost, int firstEpoch)
    {
        if (_hosts.TryRemove((virtualHost, firstEpoch), out var opening) && opening.IsValueCreated)
            await StopAsync(opening.Value).ConfigureAwait(false);
        try
        {
            await LogQueue.DeleteTopicAsync(broker, virtualHost, StateOf(firstEpoch)).ConfigureAwait(false);
        }
        catch (BrokerException fault)
        {
            registry.Log.Write(EngineLogLevel.Warning,
                $"The delayed messages of the deleted virtual host '{virtualHost}' were not deleted: {fault.Message}");
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (var opening in _hosts.Values.Where(static opening => opening.IsValueCreated))
            await StopAsync(opening.Value).ConfigureAwait(false);
    }

    private static async Task StopAsync(Task<DueMessages> opening)
    {
        await ((Task)opening).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (opening.IsCompletedSuccessfully)
            await (await opening.ConfigureAwait(false)).DisposeAsync().ConfigureAwait(false);
    }

    private static QueueState StateOf(int firstEpoch) => new()
    {
        Name = DueQueue,
        Id = FirstDueQueueId + firstEpoch - 1,
        Durable = true,
        // One broker at a time routes, so that the order stays.
        Arguments = VirtualHosts.FieldTable.Of((QueueArguments.SingleActiveConsumer, new BooleanValue(true))),
    };

    private async Task<bool> TryCreateAsync(NewSchedule schedule, int attempt)
    {
        try
        {
            await broker.Schedules.CreateAsync(schedule).ConfigureAwait(false);
            return true;
        }
        catch (BrokerException fault) when (attempt < MaxAttempts
            && (fault.Action == ErrorAction.Retry || fault.Code == ErrorCode.RequestTimedOut))
        {
            return false;
        }
    }

    private async Task<DueMessages> HostAsync(string virtualHost)
    {
        while (true)
        {
            var firstEpoch = registry.Hosts.Find(virtualHost)?.Settings.FirstEpoch
                ?? throw new BrokerException(ErrorCode.UnknownTopicOrPartition, $"The virtual host '{virtualHost}' is deleted.");
            var opening = _hosts.GetOrOpen((virtualHost, firstEpoch), () => OpenHostAsync(virtualHost, firstEpoch));
            var host = await opening.Value.ConfigureAwait(false);
            if (!host.HasEnded)
                return host;
            _hosts.TryRemove(KeyValuePair.Create((virtualHost, firstEpoch), opening));
        }
    }

    private async Task<DueMessages> OpenHostAsync(string virtualHost, int firstEpoch)
    {
        var state = StateOf(firstEpoch);
        var queue = await LogQueue.OpenAsync(broker, virtualHost, state, PolicySet.Empty.SettingsOf(state), registry, registry.Time,
            registry.Log, IsCurrentAsync, room: registry.Copies).ConfigureAwait(false);
        return new DueMessages(registry, virtualHost, queue);

        async ValueTask<bool> IsCurrentAsync() =>
            (await registry.Hosts.RefreshAsync(virtualHost).ConfigureAwait(false))?.Settings.FirstEpoch == firstEpoch;
    }
}
