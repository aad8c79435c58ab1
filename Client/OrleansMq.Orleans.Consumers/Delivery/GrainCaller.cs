using Microsoft.Extensions.Logging;
using Orleans.Configuration;

namespace OrleansMq.Consumers;

/// <summary>Calls grains, each one at a time. A call that fails on its way is told from a method that fails.
/// Thread-safe.</summary>
/// <param name="grains">The grains.</param>
/// <param name="classes">The grain classes that the cluster has.</param>
/// <param name="missingClassTimeout">How long records wait for a class that no silo has.</param>
/// <param name="maxMessageSize">The largest body of a message between silos: Orleans' MaxMessageBodySize.</param>
/// <param name="lost">Finds calls that are lost on their way.</param>
/// <param name="logger">Takes warnings.</param>
internal sealed partial class GrainCaller(IGrainFactory grains, GrainClasses classes, TimeSpan missingClassTimeout, int maxMessageSize,
    LostCalls lost, ILogger logger)
{
    // For names, and for what the serializer adds.
    private const int MessageRoom = 64 << 10;

    // Bounds the memory of a call, where messages may be larger.
    private const long LargestRun = 8 << 20;

    private static readonly TimeSpan ReportInterval = TimeSpan.FromMinutes(1);

    private readonly Lock _lock = new();
    private readonly Dictionary<GrainId, Line> _lines = [];
    private readonly Dictionary<GrainType, long> _reported = [];
    private readonly long _maxSize = maxMessageSize - MessageRoom;

    /// <summary>The most bytes of records that a call takes together. A larger run is one record.</summary>
    public long MaxRun => Math.Min(LargestRun, _maxSize);

    /// <summary>Delivers records; never throws but when it is cancelled.</summary>
    /// <param name="grain">The grain.</param>
    /// <param name="delivery">The records.</param>
    /// <param name="places">The calls that may be under way. Those that wait for their grain take none.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="OperationCanceledException">It was cancelled, or what received the records ended.</exception>
    public async Task<DeliveryAnswer> DeliverAsync(GrainId grain, IGrainDelivery delivery, SemaphoreSlim places,
        CancellationToken cancellationToken)
    {
        var answer = ForSize(delivery) ?? ForMissing(grain, delivery)
            ?? await InLineAsync(grain, delivery, places, cancellationToken).ConfigureAwait(false);
        return answer.Outcome == DeliveryOutcome.Served ? answer
            : answer with { Cause = $"Grain {grain}, {delivery.Origin}: {answer.Cause}" };
    }

    // Orleans closes the connection of a message that is too large, with all calls on their way.
    private DeliveryAnswer? ForSize(IGrainDelivery delivery) => delivery.Size <= _maxSize ? null
        : new DeliveryAnswer(0, DeliveryOutcome.Unreadable, $"The record has {delivery.Size} bytes of key, value and headers, and a call "
            + $"takes at most {_maxSize}: send smaller records, or raise {nameof(SiloMessagingOptions)}."
            + $"{nameof(SiloMessagingOptions.MaxMessageBodySize)} on every silo.");

    private DeliveryAnswer? ForMissing(GrainId grain, IGrainDelivery delivery)
    {
        if (classes.MissingFor(grain.Type, out var isReported) is not { } missing)
            return null;
        if (!isReported)
            LogMissing(grain.Type, grain, delivery.Origin, missing, missingClassTimeout);
        return new DeliveryAnswer(0, missing < missingClassTimeout ? DeliveryOutcome.Undecided : DeliveryOutcome.Unreadable,
            $"No silo has had the grain class {grain.Type} for {missing}.");
    }

    private async Task<DeliveryAnswer> InLineAsync(GrainId grain, IGrainDelivery delivery, SemaphoreSlim places,
        CancellationToken cancellationToken)
    {
        var line = Join(grain);
        try
        {
            // A grain works at one call at a time: further ones would time out in its queue, and take places from others.
            await WaitAsync(line.Turn, delivery, cancellationToken).ConfigureAwait(false);
            try
            {
                await WaitAsync(places, delivery, cancellationToken).ConfigureAwait(false);
                try
                {
                    // Another silo may have delivered them, and later ones, in the meantime.
                    cancellationToken.ThrowIfCancellationRequested();
                    delivery.Ended.ThrowIfCancellationRequested();
                    return await CallAsync(grain, delivery, cancellationToken).ConfigureAwait(false);
                }
                finally
                {
                    places.Release();
                }
            }
            finally
            {
                line.Turn.Release();
            }
        }
        finally
        {
            Leave(grain, line);
        }
    }

    private static async ValueTask WaitAsync(SemaphoreSlim semaphore, IGrainDelivery delivery, CancellationToken cancellationToken)
    {
        if (semaphore.Wait(0, CancellationToken.None))
            return;
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, delivery.Ended);
        await semaphore.WaitAsync(ending.Token).ConfigureAwait(false);
    }

    private async Task<DeliveryAnswer> CallAsync(GrainId grain, IGrainDelivery delivery, CancellationToken cancellationToken)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, delivery.Ended);
        try
        {
            using var call = lost.Begin(grain, delivery, delivery.CallAsync(grains, grain, ending.Token), cancellationToken);
            if (await call.Answer.ConfigureAwait(false) is { } answer)
                return answer;
            // A request that still comes to the grain is given up there.
            await ending.CancelAsync().ConfigureAwait(false);
            return new DeliveryAnswer(0, DeliveryOutcome.Unreachable, "The grain does not have the call any more, and has not answered: "
                + "the request or the answer was lost between two silos. What the grain has handled it skips.");
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested || ending.IsCancellationRequested)
        {
            throw;
        }
        catch (TimeoutException timeout)
        {
            return await AfterTimeoutAsync(grain, delivery, timeout, cancellationToken).ConfigureAwait(false);
        }
        catch (GrainExtensionNotInstalledException none)
        {
            return new DeliveryAnswer(0, DeliveryOutcome.Unreachable, "The grain is active on a silo that does not deliver to it: call "
                + $"{delivery.Installation} on every silo that has its class. {Causes.Of(none)}");
        }
        catch (Exception failure)
        {
            // The exceptions of a grain's method come as an answer. What is thrown is none of the record's.
            if (IsOfActivation(failure) && MayReport(grain.Type))
                LogNotActivated(grain.Type, grain, delivery.Origin, Causes.Of(failure));
            return new DeliveryAnswer(0, DeliveryOutcome.Unreachable, Causes.Of(failure));
        }
    }

    // A call that still waited at its grain has not failed.
    private async Task<DeliveryAnswer> AfterTimeoutAsync(GrainId grain, IGrainDelivery delivery, TimeoutException timeout,
        CancellationToken cancellationToken)
    {
        try
        {
            var current = await delivery.FindCurrentAsync(grains, grain).WaitAsync(cancellationToken).ConfigureAwait(false);
            if (current is { } offset && delivery.Offsets.ToList().IndexOf(offset) is >= 0 and var index)
                return new DeliveryAnswer(index, DeliveryOutcome.Failed, $"The grain has not answered. {Causes.Of(timeout)}");
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            throw;
        }
        catch (Exception)
        {
            // It cannot tell: it is not reached. An activation that fails throws what it likes.
        }
        return new DeliveryAnswer(0, DeliveryOutcome.Unreachable, Causes.Of(timeout));
    }

    // Any other exception of a call says that the grain was not reached. Those of an activation may be of any type, those of Orleans'
    // storage too. That no silo may place a grain has no type of its own.
    internal static bool IsOfActivation(Exception failure) => !(failure is OrleansMessageRejectionException or LimitExceededException
        or GatewayTooBusyException or Orleans.Runtime.Messaging.ConnectionFailedException or ObjectDisposedException
        or GrainExtensionNotInstalledException
        || failure.GetType() == typeof(OrleansException));

    // An outage of a storage concerns all grains of a class.
    private bool MayReport(GrainType grainType)
    {
        var now = TimeProvider.System.GetTimestamp();
        lock (_lock)
        {
            if (_reported.TryGetValue(grainType, out var last) && TimeProvider.System.GetElapsedTime(last, now) < ReportInterval)
                return false;
            _reported[grainType] = now;
            return true;
        }
    }

    private Line Join(GrainId grain)
    {
        lock (_lock)
        {
            if (!_lines.TryGetValue(grain, out var line))
                _lines[grain] = line = new Line();
            line.Members++;
            return line;
        }
    }

    private void Leave(GrainId grain, Line line)
    {
        lock (_lock)
        {
            if (--line.Members == 0)
                _lines.Remove(grain);
        }
    }

    // The turn needs no disposal: nothing takes its wait handle.
    private sealed class Line
    {
        public SemaphoreSlim Turn { get; } = new(1);
        public int Members { get; set; }
    }

    [LoggerMessage(1, LogLevel.Warning, "No silo has grain class {GrainType}: records for grain {Grain}, {Origin}, "
        + "have waited for {Missing}, and are dead-lettered after {Timeout}. Deploy the class.")]
    private partial void LogMissing(GrainType grainType, GrainId grain, string origin, TimeSpan missing, TimeSpan timeout);

    [LoggerMessage(2, LogLevel.Warning, "A grain of class {GrainType} cannot be activated: {Grain}, {Origin}. Its records wait, without "
        + "counting as failed, until it can or the UnreachableTimeout is over; those of other grains go on. {Cause}")]
    private partial void LogNotActivated(GrainType grainType, GrainId grain, string origin, string cause);
}
