namespace OrleansMq.Tests.Chaos.OrderFlow;

/// <summary>An order that the load has placed.</summary>
internal sealed record WantedOrder(string Id, string Customer, long Cents);

/// <summary>An order, as the sample's API shows it.</summary>
internal sealed record OrderView(string Status, string? Customer, long Cents)
{
    public bool IsDecided => Status is "Paid" or "Declined" or "Cancelled";
}

/// <summary>An account, as the sample's API shows it.</summary>
internal sealed record AccountView(long Balance, long Opened, long Taken, long Returned);

/// <summary>Statistics of a customer, as the sample's API shows them.</summary>
internal sealed record StatisticsView(int Placed, int Paid, int Declined, int Cancelled, long PaidCents);

/// <summary>A record of the topic <c>orders</c>.</summary>
internal sealed record AccountOrder(string OrderId, string Booking, long Cents);

/// <summary>A record of the topic <c>payments</c>.</summary>
internal sealed record Payment(string OrderId, bool IsPaid);

/// <summary>A record of the topic <c>order-events</c>.</summary>
internal sealed record OrderEvent(string OrderId, string Status, long Cents);
