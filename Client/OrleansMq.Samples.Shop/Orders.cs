using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.Samples.Shop;

/// <summary>The topics of the shop.</summary>
public static class Topics
{
    /// <summary>Orders by customer: those of one customer are handled in order.</summary>
    public const string Orders = "orders";

    /// <summary>Invoices by order. Compacted: the last one of each order is kept.</summary>
    public const string Invoices = "invoices";
}

/// <summary>What a customer wants.</summary>
/// <param name="Id">Unique; the web front chooses it.</param>
/// <param name="Customer">Who pays.</param>
/// <param name="Item">What.</param>
/// <param name="Quantity">How many of it, at least one.</param>
public sealed record Order(string Id, string Customer, string Item, int Quantity);

/// <summary>What an order costs.</summary>
/// <param name="OrderId">The order.</param>
/// <param name="Customer">Who pays.</param>
/// <param name="Amount">How much.</param>
public sealed record Invoice(string OrderId, string Customer, decimal Amount);

/// <summary>The JSON of the records.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(Order))]
[JsonSerializable(typeof(Invoice))]
public sealed partial class ShopJson : JsonSerializerContext;
