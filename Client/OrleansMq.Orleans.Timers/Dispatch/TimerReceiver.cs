using Microsoft.Extensions.Logging;
using OrleansMq.Consumers;

namespace OrleansMq.Timers;

/// <summary>Passes timers to one activation. Runs in the activation's turns.</summary>
internal sealed partial class TimerReceiver : ITimerReceiver
{
    private readonly IGrainContext _grain;
    private readonly TimerHandlers _handlers;
    private readonly TimerCatalog _catalog;
    private readonly OrleansMqTimerOptions _options;
    private readonly ILogger _logger;
    private readonly RecordTurns _turns;

    /// <summary>Creates the receiver of an activation.</summary>
    /// <param name="context">The activation.</param>
    /// <param name="handlers">What the classes of this silo handle.</param>
    /// <param name="catalog">What the classes of the cluster handle.</param>
    /// <param name="options">The options.</param>
    /// <param name="dispatcher">The dispatcher of this silo, which ends with it.</param>
    /// <param name="logger">Takes timers that are skipped.</param>
    public TimerReceiver(IGrainContextAccessor context, TimerHandlers handlers, TimerCatalog catalog, OrleansMqTimerOptions options,
        TimerDispatcher dispatcher, ILogger<TimerReceiver> logger)
    {
        (_grain, _handlers, _catalog, _options, _logger) = (context.GrainContext, handlers, catalog, options, logger);
        _turns = new RecordTurns(_grain, options.Turns, Skipped, dispatcher.Stopping);
    }

    /// <inheritdoc/>
    public Task<DeliveryAnswer> DeliverAsync(RecordDelivery delivery, CancellationToken cancellationToken) =>
        _turns.DeliverAsync(delivery, item => Read(delivery, item), cancellationToken);

    /// <inheritdoc/>
    public Task<long?> FindCurrentAsync(Guid source) => Task.FromResult(_turns.FindCurrent(source));

    /// <inheritdoc/>
    public Task<bool> IsDeliveringAsync(Guid delivery) => Task.FromResult(_turns.IsDelivering(delivery));

    private ReadRecord Read(RecordDelivery delivery, ConsumedItem item)
    {
        if (TimerRecords.Find(item, TimerRecords.Type) is not { } message)
        {
            return new ReadRecord(null, new DeliveryAnswer(0, DeliveryOutcome.Unreadable, $"The record has no header "
                + $"'{TimerRecords.Type}': it is none of a timer."));
        }
        var grain = _grain.GrainInstance!;
        if (_handlers.Find(grain.GetType(), message) is not { } handler)
            return new ReadRecord(null, ForMissing(grain.GetType(), message));
        var call = handler.Read(item.Value);
        return new ReadRecord(cancellationToken => call(grain, TimerRecords.TimerOf(delivery, item), cancellationToken), null);
    }

    // A silo of another version may handle it. A generic class is in no manifest with its type arguments.
    private DeliveryAnswer ForMissing(Type grainClass, string message)
    {
        var missing = grainClass.IsGenericType ? _options.MissingClassTimeout : _catalog.MissingFor(_grain.GrainId.Type, message);
        return missing is { } since && since >= _options.MissingClassTimeout
            ? new DeliveryAnswer(0, DeliveryOutcome.Unreadable, $"No silo handles messages '{message}' in the class {grainClass}: a class "
                + "whose message type was renamed or removed. Keep its name with [Alias].")
            : new DeliveryAnswer(0, DeliveryOutcome.Unreachable, "The grain is active on a silo whose version of its class does not "
                + $"handle messages '{message}'. The timer waits for one that does.");
    }

    // One that comes again is skipped where the activation has handled it.
    private void Skipped(RecordDelivery delivery, ConsumedItem item)
    {
        if (item is { Attempt: 1, IsRedelivered: false })
            LogSkipped(delivery.Topic, delivery.Partition, item.Offset, _grain.GrainId);
    }

    [LoggerMessage(1, LogLevel.Information, "The timer at {Topic}-{Partition}, offset {Offset}, is skipped by grain {Grain}, which has "
        + "handled this or a later one before.")]
    private partial void LogSkipped(string topic, int partition, long offset, GrainId grain);
}
