namespace OrleansMq.Tests.Chaos.OrderFlow;

/// <summary>Everything that an order flow has left behind once it is quiet, and what must agree in it. The topics say what was sent, the
/// grains what they have made of it.</summary>
internal sealed class OrderBooks
{
    private const int MostShown = 12;

    /// <summary>The orders that were placed, by id.</summary>
    public Dictionary<string, WantedOrder> Wanted { get; } = [];

    /// <summary>What became of them.</summary>
    public Dictionary<string, OrderView> Orders { get; } = [];

    /// <summary>What the accounts were opened with, by customer.</summary>
    public Dictionary<string, long> Opened { get; } = [];

    /// <summary>The accounts.</summary>
    public Dictionary<string, AccountView> Accounts { get; } = [];

    /// <summary>The statistics, by customer.</summary>
    public Dictionary<string, StatisticsView> Statistics { get; } = [];

    /// <summary>The records of <c>orders</c>, with the customers that are their keys.</summary>
    public List<(string Customer, AccountOrder Record)> Bookings { get; } = [];

    /// <summary>The records of <c>payments</c>.</summary>
    public List<Payment> Payments { get; } = [];

    /// <summary>The records of <c>order-events</c>, with the customers that are their keys, those of a customer in order.</summary>
    public List<(string Customer, OrderEvent Record)> Events { get; } = [];

    /// <summary>How many orders ended so.</summary>
    public int Count(string status) => Orders.Values.Count(order => order.Status == status);

    /// <summary>How many payments came too late, and were refunded.</summary>
    public int Refunds => Bookings.Count(static booking => booking.Record.Booking == "Refund");

    /// <summary>Orders whose deadline was faster than their first write.</summary>
    public int NeverStored => Orders.Values.Count(static order => order.Customer is null);

    /// <summary>Returns what does not agree; empty if the books balance.</summary>
    public IReadOnlyList<string> Judge()
    {
        var wrong = new List<string>();
        var bookings = Bookings.ToLookup(static booking => booking.Record.OrderId, StringComparer.Ordinal);
        var payments = Payments.ToLookup(static payment => payment.OrderId, StringComparer.Ordinal);
        var events = Events.ToLookup(static happened => happened.Record.OrderId, StringComparer.Ordinal);
        foreach (var wanted in Wanted.Values)
            wrong.AddRange(Judge(wanted, [.. bookings[wanted.Id]], [.. payments[wanted.Id]], [.. events[wanted.Id]]));
        foreach (var id in bookings.Select(static sent => sent.Key).Concat(payments.Select(static sent => sent.Key))
            .Concat(events.Select(static sent => sent.Key)).Distinct().Where(id => !Wanted.ContainsKey(id)))
            wrong.Add($"Order {id} was never placed, and has records.");
        foreach (var customer in Opened.Keys)
            wrong.AddRange(JudgeCustomer(customer, payments));
        var (put, held, paid) = (Opened.Values.Sum(), Accounts.Values.Sum(static account => account.Balance),
            Orders.Values.Where(static order => order.Status == "Paid").Sum(static order => order.Cents));
        if (put != held + paid)
            wrong.Add($"{put} cents were put in; accounts hold {held} and orders have {paid}, which is {held + paid - put} more.");
        return wrong.Count <= MostShown ? wrong : [.. wrong.Take(MostShown), $"and {wrong.Count - MostShown} more"];
    }

    private IEnumerable<string> Judge(WantedOrder wanted, (string Customer, AccountOrder Record)[] bookings, Payment[] payments,
        (string Customer, OrderEvent Record)[] events)
    {
        if (!Orders.TryGetValue(wanted.Id, out var order) || !order.IsDecided)
        {
            yield return $"Order {wanted.Id} is not decided: {order}.";
            yield break;
        }
        var isStored = order.Customer is not null;
        if (isStored ? (order.Customer, order.Cents) != (wanted.Customer, wanted.Cents) : order.Status != "Cancelled")
            yield return $"{wanted} became {order}.";
        if (payments.Length != (isStored ? 1 : 0))
            yield return $"Order {wanted.Id} has {payments.Length} payments.";
        var isPaid = payments is [{ IsPaid: true }, ..];
        if (isStored && (order.Status == "Paid" && !isPaid || order.Status == "Declined" && isPaid))
            yield return $"Order {wanted.Id} is {order.Status}, and its account said {isPaid}.";
        string[] expected = !isStored ? [] : order.Status == "Cancelled" && isPaid ? ["Charge", "Refund"] : ["Charge"];
        if (!bookings.Select(static booking => booking.Record.Booking).SequenceEqual(expected)
            || bookings.Any(booking => (booking.Customer, booking.Record.Cents) != (wanted.Customer, wanted.Cents)))
        {
            yield return $"{wanted} is {order.Status}; expected {string.Join(", ", expected)} and found "
                + $"{string.Join(", ", bookings.Select(static booking => booking.Record))}.";
        }
        string[] happened = isStored ? ["Placed", order.Status] : [];
        if (!events.Select(static one => one.Record.Status).SequenceEqual(happened)
            || events.Any(one => (one.Customer, one.Record.Cents) != (wanted.Customer, wanted.Cents)))
        {
            yield return $"{wanted} is {order.Status}; expected {string.Join(", ", happened)} and found "
                + $"{string.Join(", ", events.Select(static one => one.Record))}.";
        }
    }

    private IEnumerable<string> JudgeCustomer(string customer, ILookup<string, Payment> payments)
    {
        var bookings = Bookings.Where(booking => booking.Customer == customer).Select(static booking => booking.Record).ToList();
        var taken = bookings.Where(booking => booking.Booking == "Charge" && payments[booking.OrderId].Any(static answer => answer.IsPaid))
            .Sum(static booking => booking.Cents);
        var returned = bookings.Where(static booking => booking.Booking == "Refund").Sum(static booking => booking.Cents);
        var expected = new AccountView(Opened[customer] - taken + returned, Opened[customer], taken, returned);
        if (Accounts.GetValueOrDefault(customer) != expected)
            yield return $"The records of {customer} make {expected}, and the account is {Accounts.GetValueOrDefault(customer)}.";
        var orders = Orders.Values.Where(order => order.Customer == customer).ToList();
        var counts = new StatisticsView(orders.Count, orders.Count(static order => order.Status == "Paid"),
            orders.Count(static order => order.Status == "Declined"), orders.Count(static order => order.Status == "Cancelled"),
            orders.Where(static order => order.Status == "Paid").Sum(static order => order.Cents));
        if (Statistics.GetValueOrDefault(customer) != counts)
            yield return $"The orders of {customer} make {counts}, and the statistics are {Statistics.GetValueOrDefault(customer)}.";
    }
}
