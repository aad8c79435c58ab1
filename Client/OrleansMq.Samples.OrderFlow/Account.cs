using OrleansMq.Consumers;
using OrleansMq.Outboxes;

namespace OrleansMq.Samples.OrderFlow;

/// <summary>An account as others see it. <c>Balance</c> is always <c>Opened - Taken + Returned</c>.</summary>
/// <param name="Balance">What it holds.</param>
/// <param name="Opened">What it was opened with.</param>
/// <param name="Taken">What orders have taken.</param>
/// <param name="Returned">What was given back to it.</param>
[GenerateSerializer, Immutable]
public sealed record AccountView([property: Id(0)] long Balance, [property: Id(1)] long Opened, [property: Id(2)] long Taken,
    [property: Id(3)] long Returned);

/// <summary>An account; its key is the customer.</summary>
public interface IAccount : IGrainWithStringKey
{
    /// <summary>Opens the account, once. A call without an answer may be repeated.</summary>
    Task OpenAsync(long cents);

    /// <summary>Returns the account.</summary>
    Task<AccountView> GetAsync();
}

/// <summary>
/// The consumer: books each record of <see cref="Topics.Orders"/> once. The booking, the offset of its record and the answer are stored by
/// one write.
/// </summary>
[Consumes(Topics.Orders)]
public sealed class Account([OutboxState("account")] IOutboxState<AccountState> account) : Grain, IAccount, IGrainConsumer<AccountOrder>
{
    /// <inheritdoc/>
    public async Task OpenAsync(long cents)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(cents);
        if (account.State.Opened != 0)
            return;
        account.State.Opened = account.State.Balance = cents;
        await account.WriteStateAsync();
    }

    /// <inheritdoc/>
    public async Task ConsumeAsync(AccountOrder order, ConsumedRecord record, CancellationToken cancellationToken)
    {
        if (account.State.Processed.TryApply(record, () => Book(order)))
            await account.WriteStateAsync();
    }

    /// <inheritdoc/>
    public Task<AccountView> GetAsync() => Task.FromResult(
        new AccountView(account.State.Balance, account.State.Opened, account.State.Taken, account.State.Returned));

    private void Book(AccountOrder order)
    {
        if (order.Booking == Booking.Refund)
        {
            account.State.Balance += order.Cents;
            account.State.Returned += order.Cents;
            return;
        }
        var isPaid = account.State.Balance >= order.Cents;
        if (isPaid)
        {
            account.State.Balance -= order.Cents;
            account.State.Taken += order.Cents;
        }
        account.Outbox.Add(Topics.Payments, order.OrderId, new Payment(order.OrderId, isPaid));
    }
}

/// <summary>The state of an account.</summary>
[GenerateSerializer]
public sealed class AccountState : IHasOutbox
{
    /// <summary>What it holds.</summary>
    [Id(0)]
    public long Balance { get; set; }

    /// <summary>What it was opened with.</summary>
    [Id(1)]
    public long Opened { get; set; }

    /// <summary>What orders have taken.</summary>
    [Id(2)]
    public long Taken { get; set; }

    /// <summary>What was given back.</summary>
    [Id(3)]
    public long Returned { get; set; }

    /// <summary>Which records are booked.</summary>
    [Id(4)]
    public ProcessedOffsets Processed { get; set; } = new();

    /// <inheritdoc/>
    [Id(5)]
    public OutboxDocument? Outbox { get; set; }
}
