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
        var counted = statistics.State;
        statistics.State = counted.With(happened, position.SequenceNumber);
        try
        {
            await statistics.WriteStateAsync();
        }
        catch
        {
            // Whether it is stored is not known. The event comes again, to an activation that begins with what is stored.
            statistics.State = counted;
            DeactivateOnIdle();
            throw;
        }
    }
}

/// <summary>The state of statistics.</summary>
/// <param name="Placed">Orders that were placed.</param>
/// <param name="Paid">Paid ones.</param>
/// <param name="Declined">Declined ones.</param>
/// <param name="Cancelled">Cancelled ones.</param>
/// <param name="PaidCents">What the paid ones cost.</param>
/// <param name="Last">The offset of the last event that is counted.</param>
[GenerateSerializer]
public sealed record StatisticsState([property: Id(0)] int Placed, [property: Id(1)] int Paid, [property: Id(2)] int Declined,
    [property: Id(3)] int Cancelled, [property: Id(4)] long PaidCents, [property: Id(5)] long Last)
{
    /// <summary>Nothing is counted.</summary>
    public StatisticsState()
        : this(0, 0, 0, 0, 0, -1)
    {
    }

    /// <summary>Returns the counts with an event.</summary>
    public StatisticsState With(OrderEvent happened, long position) => happened.Status switch
    {
        OrderStatus.Placed => this with { Placed = Placed + 1, Last = position },
        OrderStatus.Paid => this with { Paid = Paid + 1, PaidCents = PaidCents + happened.Cents, Last = position },
        OrderStatus.Declined => this with { Declined = Declined + 1, Last = position },
        OrderStatus.Cancelled => this with { Cancelled = Cancelled + 1, Last = position },
        _ => throw new NotSupportedException($"An order has no event '{happened.Status}'."),
    };
}
