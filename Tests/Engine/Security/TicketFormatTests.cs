using System.Text;
using OrleansMq.Security;

namespace OrleansMq.Tests.Engine.Security;

/// <summary>The bytes of tickets: only those that a broker made, and nobody changed, are good.</summary>
public sealed class TicketFormatTests
{
    private static readonly DateTimeOffset Now = new(2026, 11, 26, 12, 0, 0, TimeSpan.Zero);
    private static readonly TicketDocument Keys = TicketDocument.Empty.WithNewKey();

    private static readonly Ticket Alice = new(TicketKind.Client, "User:alice", Now + TimeSpan.FromMinutes(10))
    {
        CreatedAt = 3,
        ChangedAt = 7,
    };

    [Fact]
    public void Ticket_says_what_was_written()
    {
        foreach (var ticket in new[] { Alice, new Ticket(TicketKind.Broker, "broker-1", Now + TimeSpan.FromHours(1)),
            new Ticket(TicketKind.Client, "User:CN=Żółć,O=例", Now + TimeSpan.FromMilliseconds(1)), Alice with { Principal = "" } })
        {
            Assert.Equal(TicketFault.None, TicketFormat.Read(TicketFormat.Write(ticket, Keys.Keys[0]), Keys, Now, out var read));
            Assert.Equal(ticket, read);
        }
    }

    [Fact]
    public void Changed_byte_makes_any_ticket_worthless()
    {
        var bytes = TicketFormat.Write(Alice, Keys.Keys[0]);
        for (var i = 0; i < bytes.Length; i++)
        {
            for (var bit = 0; bit < 8; bit++)
            {
                var changed = (byte[])bytes.Clone();
                changed[i] ^= (byte)(1 << bit);
                var fault = TicketFormat.Read(changed, Keys, Now, out var read);
                Assert.Equal(i == 0 ? TicketFault.Malformed : i is >= 2 and < 6 ? TicketFault.UnknownKey : TicketFault.Forged, fault);
                Assert.Null(read);
            }
        }
    }

    [Fact]
    public void Shortened_and_lengthened_tickets_are_worthless()
    {
        var bytes = TicketFormat.Write(Alice, Keys.Keys[0]);
        for (var length = 0; length < bytes.Length; length++)
            Assert.NotEqual(TicketFault.None, TicketFormat.Read(bytes.AsSpan(0, length), Keys, Now, out _));
        Assert.Equal(TicketFault.Forged, TicketFormat.Read([.. bytes, 0], Keys, Now, out _));
        Assert.Equal(TicketFault.Malformed, TicketFormat.Read(new byte[TicketFormat.MinBytes - 1], Keys, Now, out _));
        Assert.Equal(TicketFault.Malformed, TicketFormat.Read(new byte[TicketFormat.MaxBytes + 1], Keys, Now, out _));
        var oversized = new byte[TicketFormat.MaxBytes + 1];
        bytes.CopyTo(oversized, 0);
        Assert.Equal(TicketFault.Malformed, TicketFormat.Read(oversized, Keys, Now, out _));
    }

    [Fact]
    public void Ticket_of_another_secret_is_worthless_under_the_same_number_and_another()
    {
        var other = TicketKey.Create() with { Id = Keys.Keys[0].Id };
        Assert.Equal(TicketFault.Forged, TicketFormat.Read(TicketFormat.Write(Alice, other), Keys, Now, out _));
        Assert.Equal(TicketFault.UnknownKey,
            TicketFormat.Read(TicketFormat.Write(Alice, other with { Id = ~Keys.Keys[0].Id }), Keys, Now, out _));
        Assert.Equal(TicketFault.UnknownKey,
            TicketFormat.Read(TicketFormat.Write(Alice, Keys.Keys[0]), TicketDocument.Empty, Now, out _));
    }

    [Fact]
    public void Ticket_ends_at_its_time()
    {
        var bytes = TicketFormat.Write(Alice, Keys.Keys[0]);
        Assert.Equal(TicketFault.None, TicketFormat.Read(bytes, Keys, Alice.ExpiresAt - TimeSpan.FromMilliseconds(1), out _));
        Assert.Equal(TicketFault.Expired, TicketFormat.Read(bytes, Keys, Alice.ExpiresAt, out _));
    }

    [Fact]
    public void Kind_that_does_not_exist_is_refused()
    {
        Assert.Equal(TicketFault.Malformed,
            TicketFormat.Read(TicketFormat.Write(Alice with { Kind = TicketKind.None }, Keys.Keys[0]), Keys, Now, out _));
        Assert.Equal(TicketFault.Malformed,
            TicketFormat.Read(TicketFormat.Write(Alice with { Kind = (TicketKind)3 }, Keys.Keys[0]), Keys, Now, out _));
    }

    [Fact]
    public void Replaced_secret_is_good_until_it_is_replaced_again()
    {
        var bytes = TicketFormat.Write(Alice, Keys.Keys[0]);
        var next = Keys.WithNewKey();
        Assert.Equal(TicketFault.None, TicketFormat.Read(bytes, next, Now, out _));
        Assert.NotEqual(Keys.Keys[0].Id, next.Keys[0].Id);
        Assert.Equal(TicketFault.UnknownKey, TicketFormat.Read(bytes, next.WithNewKey(), Now, out _));
    }

    [Fact]
    public void Principal_that_is_too_long_or_no_text_has_no_ticket()
    {
        var longest = new string('a', TicketFormat.MaxPrincipalBytes);
        Assert.True(TicketFormat.CanName(longest));
        Assert.Equal(TicketFormat.MaxBytes, TicketFormat.Write(Alice with { Principal = longest }, Keys.Keys[0]).Length);
        foreach (var none in new[] { longest + "a", new string('ż', (TicketFormat.MaxPrincipalBytes / 2) + 1), "User:\ud800" })
        {
            Assert.False(TicketFormat.CanName(none));
            Assert.Throws<ArgumentException>(() => TicketFormat.Write(Alice with { Principal = none }, Keys.Keys[0]));
        }
    }

    [Fact]
    public void Secrets_are_in_no_text()
    {
        var secret = Convert.ToBase64String(Keys.Keys[0].Secret);
        foreach (var text in new[] { Keys.ToString(), Keys.Keys[0].ToString(), $"{Keys}{Keys.Keys[0]}" })
        {
            Assert.DoesNotContain(secret, text, StringComparison.Ordinal);
            Assert.DoesNotContain("Secret", text, StringComparison.Ordinal);
        }
        Assert.Equal(TicketKey.SecretBytes, Keys.Keys[0].Secret.Length);
        Assert.NotEqual(Encoding.UTF8.GetBytes(new string('\0', TicketKey.SecretBytes)), Keys.Keys[0].Secret);
    }
}
