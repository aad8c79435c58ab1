using OrleansMq.Tests.Chaos.OrderFlow;

namespace OrleansMq.Tests.Chaos.Checkers;

/// <summary>Checker of the order flow: books that balance, and one thing that is wrong in them.</summary>
public sealed class OrderBooksTests
{
    private const string Ada = "ada";

    private readonly OrderBooks _books = new();

    public OrderBooksTests()
    {
        _books.Opened[Ada] = 1_000;
        Add("paid", 300, "Paid", isPaid: true, "Charge");
        Add("declined", 900, "Declined", isPaid: false, "Charge");
        Add("refunded", 200, "Cancelled", isPaid: true, "Charge", "Refund");
        Add("cancelled", 950, "Cancelled", isPaid: false, "Charge");
        _books.Wanted["never"] = new WantedOrder("never", Ada, 50);
        _books.Orders["never"] = new OrderView("Cancelled", null, 0);
        _books.Accounts[Ada] = new AccountView(Balance: 700, Opened: 1_000, Taken: 500, Returned: 200);
        _books.Statistics[Ada] = new StatisticsView(Placed: 4, Paid: 1, Declined: 1, Cancelled: 2, PaidCents: 300);
    }

    [Fact]
    public void Books_that_balance_are_right() => Assert.Empty(_books.Judge());

    [Fact]
    public void Charge_that_is_booked_twice_is_detected()
    {
        _books.Accounts[Ada] = new AccountView(Balance: 400, Opened: 1_000, Taken: 800, Returned: 200);
        Assert.Contains(_books.Judge(), static wrong => wrong.Contains("the account is", StringComparison.Ordinal));
        Assert.Contains(_books.Judge(), static wrong => wrong.Contains("-300 more", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("paid", "Charge")]
    [InlineData("refunded", "Refund")]
    public void Record_that_is_sent_twice_or_not_at_all_is_detected(string order, string booking)
    {
        var sent = _books.Bookings.Single(one => one.Record.OrderId == order && one.Record.Booking == booking);
        _books.Bookings.Add(sent);
        Assert.Contains(_books.Judge(), wrong => wrong.Contains($"Id = {order}", StringComparison.Ordinal));
        _books.Bookings.RemoveAll(one => one == sent);
        Assert.Contains(_books.Judge(), wrong => wrong.Contains($"Id = {order}", StringComparison.Ordinal));
    }

    [Fact]
    public void Payment_that_is_sent_twice_is_detected()
    {
        _books.Payments.Add(new Payment("paid", IsPaid: true));
        Assert.Equal(["Order paid has 2 payments."], _books.Judge());
    }

    [Fact]
    public void Payment_that_disagrees_with_the_order_is_detected()
    {
        _books.Payments[1] = new Payment("declined", IsPaid: true);
        Assert.Contains("Order declined is Declined, and its account said True.", _books.Judge());
    }

    [Fact]
    public void Event_that_is_missing_or_out_of_order_is_detected()
    {
        (_books.Events[0], _books.Events[1]) = (_books.Events[1], _books.Events[0]);
        Assert.Single(_books.Judge());
        _books.Events.RemoveAt(0);
        Assert.Single(_books.Judge());
    }

    [Fact]
    public void Event_that_is_counted_twice_is_detected()
    {
        _books.Statistics[Ada] = new StatisticsView(Placed: 5, Paid: 1, Declined: 1, Cancelled: 2, PaidCents: 300);
        Assert.Contains("the statistics are", Assert.Single(_books.Judge()));
    }

    [Fact]
    public void Order_without_an_end_is_detected()
    {
        _books.Orders["paid"] = new OrderView("Placed", Ada, 300);
        Assert.Contains(_books.Judge(), static wrong => wrong.Contains("Order paid is not decided", StringComparison.Ordinal));
    }

    [Fact]
    public void Order_that_was_never_stored_has_no_records()
    {
        _books.Bookings.Add((Ada, new AccountOrder("never", "Charge", 50)));
        Assert.Contains(_books.Judge(), static wrong => wrong.Contains("Id = never", StringComparison.Ordinal));
    }

    [Fact]
    public void Record_of_an_order_that_was_never_placed_is_detected()
    {
        _books.Events.Add((Ada, new OrderEvent("stray", "Placed", 50)));
        Assert.Equal(["Order stray was never placed, and has records."], _books.Judge());
    }

    private void Add(string id, long cents, string status, bool isPaid, params string[] bookings)
    {
        _books.Wanted[id] = new WantedOrder(id, Ada, cents);
        _books.Orders[id] = new OrderView(status, Ada, cents);
        _books.Bookings.AddRange(bookings.Select(booking => (Ada, new AccountOrder(id, booking, cents))));
        _books.Payments.Add(new Payment(id, isPaid));
        _books.Events.AddRange([(Ada, new OrderEvent(id, "Placed", cents)), (Ada, new OrderEvent(id, status, cents))]);
    }
}
