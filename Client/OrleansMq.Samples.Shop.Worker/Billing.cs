using OrleansMq.Client;

namespace OrleansMq.Samples.Shop.Worker;

/// <summary>
/// Charges each order, and writes its invoice. An order is done when the invoice is acknowledged. If the process dies before, the order
/// comes again, so both steps may be repeated: the bank knows the order's id, and an invoice of the same order replaces the earlier one.
/// </summary>
public sealed class Billing(IBank bank, IProducer<string, Invoice> invoices) : IMessageContextHandler<string, Order>
{
    /// <inheritdoc/>
    public async ValueTask HandleAsync(MessageContext<string, Order> message, CancellationToken cancellationToken)
    {
        var order = message.Value;
        if (order.Quantity < 1)
        {
            // No attempt would succeed. The order is now in orders.dead-letter: omq dead-letter show orders.dead-letter
            await message.DeadLetterAsync($"quantity {order.Quantity}", cancellationToken);
            return;
        }
        // Throws while the bank is away: tried again, and a dead letter after the last attempt.
        var amount = await bank.ChargeAsync(order, cancellationToken);
        await invoices.SendAsync(new(Topics.Invoices, order.Id, new Invoice(order.Id, order.Customer, amount)), cancellationToken);
    }
}
