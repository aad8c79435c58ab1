using Orleans.Streams;

namespace OrleansMq.Samples.OrderFlow;

/// <summary>The orders of a customer, counted.</summary>
/// <param name="Placed">How many were placed.</param>
/// <param name="Paid">How many of them are paid.</param>
/// <param name="Declined">How many are declined.</param>
/// <param name="Cancelled">How many are cancelled.</param>
/// <param name="PaidCents">What the paid ones cost.</param>
[GenerateSerializer, Immutable]
public sealed record StatisticsView([property: Id(0)] int Placed, [property: Id(1)] int Paid, [property: Id(2)] int Declined,
    [property: Id(3)] int Cancelled, [property: Id(4)] long PaidCents);

/// <summary>The statistics of a customer; its key is the customer.</summary>
public interface IStatistics : IGrainWithStringKey
{
    /// <summary>Returns the counts.</summary>
    Task<StatisticsView> GetAsync();
}

/// <summary>
/// The stream: counts the events of its customer. An event comes at least once, and those of a stream come in order. So the position of the
/// last one, stored with the counts, says which events are counted.
/// </summary>
[ImplicitStreamSubscription(Topics.Events)]
public sealed class Statistics([PersistentState("statistics")] IPersistentState<StatisticsState> statistics) : Grain, IStatistics
{
    /// <inheritdoc/>
    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        var events = this.GetStreamProvider(OrderFlow.StreamProvider).GetStream<OrderEvent>(Topics.Events, this.GetPrimaryKeyString());
        await events.SubscribeAsync((happened, position) => CountAsync(happened, position!));
    }

    /// <inheritdoc/>
    public Task<StatisticsView> GetAsync() => Task.FromResult(new StatisticsView(statistics.State.Placed, statistics.State.Paid,
        statistics.State.Declined, statistics.State.Cancelled, statistics.State.PaidCents));

    private async Task CountAsync(OrderEvent happened, StreamSequenceToken position)
    {
        if (position.SequenceNumber <= statistics.State.Last)
            return;
        Count(happened);
        statistics.State.Last = position.SequenceNumber;
        try
        {
            await statistics.WriteStateAsync();
        }
        catch
        {
            // The event comes again, to an activation that begins with what is stored.
            DeactivateOnIdle();
            throw;
        }
    }

    private void Count(OrderEvent happened)
    {
        switch (happened.Status)
        {
            case OrderStatus.Placed:
                statistics.State.Placed++;
                break;
            case OrderStatus.Paid:
                statistics.State.Paid++;
                statistics.State.PaidCents += happened.Cents;
                break;
            case OrderStatus.Declined:
                statistics.State.Declined++;
                break;
            case OrderStatus.Cancelled:
                statistics.State.Cancelled++;
                break;
            default:
                throw new NotSupportedException($"An order has no event '{happened.Status}'.");
        }
    }
}

/// <summary>The state of statistics.</summary>
[GenerateSerializer]
public sealed class StatisticsState
{
    /// <summary>Orders that were placed.</summary>
    [Id(0)]
    public int Placed { get; set; }

    /// <summary>Paid ones.</summary>
    [Id(1)]
    public int Paid { get; set; }

    /// <summary>Declined ones.</summary>
    [Id(2)]
    public int Declined { get; set; }

    /// <summary>Cancelled ones.</summary>
    [Id(3)]
    public int Cancelled { get; set; }

    /// <summary>What the paid ones cost.</summary>
    [Id(4)]
    public long PaidCents { get; set; }

    /// <summary>The offset of the last event that is counted.</summary>
    [Id(5)]
    public long Last { get; set; } = -1;
}
