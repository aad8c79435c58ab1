using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.Samples.OrderFlow;

/// <summary>The topics of the flow.</summary>
public static class Topics
{
    /// <summary>What orders want of accounts, by customer.</summary>
    public const string Orders = "orders";

    /// <summary>What accounts answer, by order.</summary>
    public const string Payments = "payments";

    /// <summary>What happened to orders, by customer: the streams that <see cref="Statistics"/> subscribes to.</summary>
    public const string Events = "order-events";
}

/// <summary>What an order wants of the customer's account.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<Booking>))]
public enum Booking
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>Take the money.</summary>
    Charge,
    /// <summary>Give it back.</summary>
    Refund,
}

/// <summary>A record of <see cref="Topics.Orders"/>.</summary>
/// <param name="OrderId">The order.</param>
/// <param name="Booking">What to do.</param>
/// <param name="Cents">How much.</param>
public sealed record AccountOrder(string OrderId, Booking Booking, long Cents);

/// <summary>A record of <see cref="Topics.Payments"/>: the account's answer to a charge.</summary>
/// <param name="OrderId">The order.</param>
/// <param name="IsPaid">Whether the money was taken.</param>
public sealed record Payment(string OrderId, bool IsPaid);

/// <summary>An event of <see cref="Topics.Events"/>.</summary>
/// <param name="OrderId">The order.</param>
/// <param name="Status">Its new status.</param>
/// <param name="Cents">How much it costs.</param>
public sealed record OrderEvent(string OrderId, OrderStatus Status, long Cents);

/// <summary>The message of the timer of an order.</summary>
[Alias("payment-due")]
public sealed record PaymentDue;

/// <summary>The JSON of the records.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(AccountOrder))]
[JsonSerializable(typeof(Payment))]
[JsonSerializable(typeof(OrderEvent))]
public sealed partial class OrderFlowJson : JsonSerializerContext;
