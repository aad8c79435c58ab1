using System.Text.Json.Serialization;
using OrleansMq.Consumers;
using OrleansMq.Outboxes;
using OrleansMq.Timers;

namespace OrleansMq.Samples.OrderFlow;

/// <summary>The status of an order.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<OrderStatus>))]
public enum OrderStatus
{
    /// <summary>There is no such order.</summary>
    None = 0,
    /// <summary>The account was asked to pay.</summary>
    Placed,
    /// <summary>The account has paid. Final.</summary>
    Paid,
    /// <summary>The account has too little money. Final.</summary>
    Declined,
    /// <summary>The account did not answer in time. Final; a payment that comes later is refunded.</summary>
    Cancelled,
}

/// <summary>What a customer wants.</summary>
/// <param name="Customer">Whose account pays.</param>
/// <param name="Cents">How much.</param>
/// <param name="PayBy">When the order is cancelled if it is not paid. The caller gives a time, not a duration, so that a repeated call asks
/// for the same timer.</param>
[GenerateSerializer, Immutable]
public sealed record NewOrder([property: Id(0)] string Customer, [property: Id(1)] long Cents, [property: Id(2)] DateTimeOffset PayBy);

/// <summary>An order as others see it.</summary>
/// <param name="Status">Its status.</param>
/// <param name="Customer">The customer; null of an order that was cancelled before it was stored.</param>
/// <param name="Cents">How much it costs.</param>
[GenerateSerializer, Immutable]
public sealed record OrderView([property: Id(0)] OrderStatus Status, [property: Id(1)] string? Customer, [property: Id(2)] long Cents);

/// <summary>An order; its key is the order's id.</summary>
public interface IOrder : IGrainWithStringKey
{
    /// <summary>Places the order. A call without an answer is repeated with the same arguments: the order is placed once.</summary>
    Task<OrderView> PlaceAsync(NewOrder wanted);

    /// <summary>Cancels the order if it is not decided.</summary>
    Task ExpireAsync();

    /// <summary>Returns the order.</summary>
    Task<OrderView> GetAsync();
}

/// <summary>
/// The outbox: each step of an order and what it tells others are stored by one write. The messages go to their topics after it, each once,
/// whichever silo dies.
/// </summary>
[Consumes(Topics.Payments)]
public sealed class Order([OutboxState("order")] IOutboxState<OrderState> order, IDurableTimers timers) : Grain, IOrder,
    IGrainConsumer<Payment>
{
    private const string PaymentTimer = "payment";

    private string Id => this.GetPrimaryKeyString();

    private IDeadline Deadline => GrainFactory.GetGrain<IDeadline>(Id);

    /// <inheritdoc/>
    public async Task<OrderView> PlaceAsync(NewOrder wanted)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(wanted.Cents);
        if (order.State.Status != OrderStatus.None)
            return View();                              // The call is repeated.
        // The timer comes first, since a stored order has a deadline. The deadline of an order that is not stored cancels it for good.
        await timers.ScheduleAsync(Deadline, wanted.PayBy, new PaymentDue(), PaymentTimer);
        (order.State.Customer, order.State.Cents) = (wanted.Customer, wanted.Cents);
        Become(OrderStatus.Placed);
        Tell(Booking.Charge);
        await order.WriteStateAsync();                  // The order and both messages.
        return View();
    }

    /// <inheritdoc/>
    public async Task ConsumeAsync(Payment payment, ConsumedRecord record, CancellationToken cancellationToken)
    {
        // First what may fail. The deadline of a decided order would change nothing, so it need not come.
        if (!order.State.Processed.Contains(record.Position))
            await timers.CancelAsync(Deadline, PaymentTimer);
        if (order.State.Processed.TryApply(record, () => Settle(payment)))
            await order.WriteStateAsync();
    }

    /// <inheritdoc/>
    public async Task ExpireAsync()
    {
        if (order.State.Status is not (OrderStatus.None or OrderStatus.Placed))
            return;
        Become(OrderStatus.Cancelled);
        await order.WriteStateAsync();
    }

    /// <inheritdoc/>
    public Task<OrderView> GetAsync() => Task.FromResult(View());

    private void Settle(Payment payment)
    {
        if (order.State.Status == OrderStatus.Placed)
            Become(payment.IsPaid ? OrderStatus.Paid : OrderStatus.Declined);
        else if (payment.IsPaid)
            Tell(Booking.Refund);                       // The deadline was faster.
    }

    private void Become(OrderStatus status)
    {
        order.State.Status = status;
        if (order.State.Customer is { } customer)
            order.Outbox.Add(Topics.Events, customer, new OrderEvent(Id, status, order.State.Cents));
    }

    private void Tell(Booking booking) =>
        order.Outbox.Add(Topics.Orders, order.State.Customer!, new AccountOrder(Id, booking, order.State.Cents));

    private OrderView View() => new(order.State.Status, order.State.Customer, order.State.Cents);
}

/// <summary>The state of an order.</summary>
[GenerateSerializer]
public sealed class OrderState : IHasOutbox
{
    /// <summary>The status.</summary>
    [Id(0)]
    public OrderStatus Status { get; set; }

    /// <summary>Whose account pays.</summary>
    [Id(1)]
    public string? Customer { get; set; }

    /// <summary>How much.</summary>
    [Id(2)]
    public long Cents { get; set; }

    /// <summary>Which payments are handled.</summary>
    [Id(3)]
    public ProcessedOffsets Processed { get; set; } = new();

    /// <inheritdoc/>
    [Id(4)]
    public OutboxDocument? Outbox { get; set; }
}
