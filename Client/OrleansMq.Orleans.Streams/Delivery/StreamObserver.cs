using Orleans.Streams;
using OrleansMq.Consumers;

namespace OrleansMq.Streams;

/// <summary>An observer of any type of event.</summary>
internal interface IStreamObserver
{
    /// <summary>Whether one call takes several events.</summary>
    bool TakesBatches { get; }

    /// <summary>Whether the answer about several events says which of them failed.</summary>
    bool NamesCause => false;

    /// <summary>Passes events to the observer: one, or more if it takes batches.</summary>
    /// <param name="delivery">The delivery.</param>
    /// <param name="first">The index of the first event.</param>
    /// <param name="end">The index after the last event.</param>
    /// <param name="services">The silo's services.</param>
    /// <returns>The number of events that it handled, and what became of the one after them.</returns>
    Task<DeliveryAnswer> ObserveAsync(StreamDelivery delivery, int first, int end, IServiceProvider services);

    /// <summary>Tells the observer of an event that it will not receive again: a process skips it, and that of a grain goes to the
    /// dead-letter topic, unless it is one of a replay that the grain has had before.</summary>
    /// <param name="offset">Its offset.</param>
    /// <param name="cause">Why it is given up.</param>
    /// <returns>What the observer threw; null: nothing.</returns>
    Task<Exception?> GivenUpAsync(long offset, Exception cause);
}

/// <summary>Reads events, and passes them to an observer of one kind or the other.</summary>
/// <param name="format">The format of events.</param>
/// <param name="single">An observer of single events.</param>
/// <param name="batches">An observer of batches.</param>
internal sealed class StreamObserver<T>(StreamFormat format, IAsyncObserver<T>? single, IAsyncBatchObserver<T>? batches) : IStreamObserver
{
    /// <inheritdoc/>
    public bool TakesBatches => batches is not null;

    /// <inheritdoc/>
    public async Task<DeliveryAnswer> ObserveAsync(StreamDelivery delivery, int first, int end, IServiceProvider services)
    {
        var items = new List<SequentialItem<T>>();
        var refused = Read(delivery, first..end, items, services);
        if (items.Count == 0)
            return refused!;
        try
        {
            if (single is not null)
                await single.OnNextAsync(items[0].Item, items[0].Token);
            else
                await batches!.OnNextAsync(items);
        }
        catch (Exception thrown)
        {
            return new DeliveryAnswer(0, DeliveryOutcome.Failed, Causes.Of(thrown));
        }
        return refused is null ? new DeliveryAnswer(items.Count, DeliveryOutcome.Served) : refused with { Count = items.Count };
    }

    /// <inheritdoc/>
    public async Task<Exception?> GivenUpAsync(long offset, Exception cause)
    {
        try
        {
            await (single is not null ? single.OnErrorAsync(cause) : batches!.OnErrorAsync(cause));
            return null;
        }
        catch (Exception thrown)
        {
            return thrown;
        }
    }

    // Returns why the event after the last one that it read cannot be read; null: it was not tried.
    private DeliveryAnswer? Read(StreamDelivery delivery, Range wanted, List<SequentialItem<T>> items, IServiceProvider services)
    {
        foreach (var (offset, value, _) in delivery.Items.AsSpan(wanted))
        {
            try
            {
                items.Add(new SequentialItem<T>(format.Deserialize<T>(value, services), new StreamOffset(delivery.Partition, offset)));
            }
            catch (Exception refused)
            {
                return new DeliveryAnswer(0, DeliveryOutcome.Unreadable,
                    $"The event at partition {delivery.Partition}, offset {offset}, is no {typeof(T)}: {Causes.Of(refused)}");
            }
        }
        return null;
    }
}
