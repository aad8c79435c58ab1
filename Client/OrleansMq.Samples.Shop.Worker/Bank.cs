namespace OrleansMq.Samples.Shop.Worker;

/// <summary>Takes customers' money.</summary>
public interface IBank
{
    /// <summary>Charges an order once, however often it is called for it; returns the amount.</summary>
    Task<decimal> ChargeAsync(Order order, CancellationToken cancellationToken);
}

/// <summary>A bank where everything costs 3.</summary>
public sealed class Bank : IBank
{
    /// <inheritdoc/>
    public Task<decimal> ChargeAsync(Order order, CancellationToken cancellationToken) => Task.FromResult(3m * order.Quantity);
}
