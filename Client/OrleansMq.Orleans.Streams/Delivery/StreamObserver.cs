using Orleans.Streams;

namespace OrleansMq.Streams;

/// <summary>An observer of any type of event.</summary>
internal interface IStreamObserver
{
    /// <summary>Passes an event to the observer.</summary>
    Task<DeliveryAnswer> ObserveAsync(StreamDelivery delivery, IServiceProvider services);
}

/// <summary>Reads events, and passes them to an observer of one kind or the other.</summary>
/// <param name="format">The format of events.</param>
/// <param name="single">An observer of single events.</param>
/// <param name="batches">An observer of batches.</param>
internal sealed class StreamObserver<T>(StreamFormat format, IAsyncObserver<T>? single, IAsyncBatchObserver<T>? batches) : IStreamObserver
{
    /// <inheritdoc/>
    public async Task<DeliveryAnswer> ObserveAsync(StreamDelivery delivery, IServiceProvider services)
    {
        T item;
        try
        {
            item = format.Deserialize<T>(delivery.Value, services);
        }
        catch (Exception refused)
        {
            return new DeliveryAnswer(DeliveryOutcome.Unreadable,
                $"The event at partition {delivery.Partition}, offset {delivery.Offset}, is no {typeof(T)}: {Causes.Of(refused)}");
        }
        var token = new StreamOffset(delivery.Partition, delivery.Offset);
        try
        {
            if (single is not null)
                await single.OnNextAsync(item, token);
            else
                await batches!.OnNextAsync([new SequentialItem<T>(item, token)]);
            return DeliveryAnswer.Served;
        }
        catch (Exception thrown)
        {
            return new DeliveryAnswer(DeliveryOutcome.Failed, Causes.Of(thrown));
        }
    }
}

/// <summary>Causes of failures, as dead letters tell them.</summary>
internal static class Causes
{
    /// <summary>Returns type and message.</summary>
    public static string Of(Exception thrown) => $"{thrown.GetType().FullName}: {thrown.Message}";
}
