using System.Text;
using System.Text.Json;
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
        foreach (var ticket in new[] { Alice, new Ticket(TicketKind.Client, "User:CN=Żółć,O=例", Now + TimeSpan.FromMilliseconds(1)),
            Alice with { Principal = "" } })
        {
            var bytes = TicketFormat.Write(ticket, Keys.Keys[0]);
            Assert.Equal(TicketFault.None, TicketFormat.Read(bytes, Keys, Now, default, out var read));
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
                var fault = TicketFormat.Read(changed, Keys, Now, default, out var read);
                Assert.Equal(i == 0 && bit != 1 ? TicketFault.Malformed : i is >= 2 and < 6 ? TicketFault.UnknownKey
                    : TicketFault.Forged, fault);
                Assert.Null(read);
            }
        }
    }

    [Fact]
    public void Shortened_and_lengthened_tickets_are_worthless()
    {
        var bytes = TicketFormat.Write(Alice, Keys.Keys[0]);
        for (var length = 0; length < bytes.Length; length++)
            Assert.NotEqual(TicketFault.None, TicketFormat.Read(bytes.AsSpan(0, length), Keys, Now, default, out _));
        Assert.Equal(TicketFault.Forged, TicketFormat.Read([.. bytes, 0], Keys, Now, default, out _));
        Assert.Equal(TicketFault.Malformed, TicketFormat.Read(new byte[TicketFormat.MinBytes - 1], Keys, Now, default, out _));
        Assert.Equal(TicketFault.Malformed, TicketFormat.Read(new byte[TicketFormat.MaxBytes + 1], Keys, Now, default, out _));
        var oversized = new byte[TicketFormat.MaxBytes + 1];
        bytes.CopyTo(oversized, 0);
        Assert.Equal(TicketFault.Malformed, TicketFormat.Read(oversized, Keys, Now, default, out _));
    }

    [Fact]
    public void Ticket_of_another_secret_is_worthless_under_the_same_number_and_another()
    {
        var other = TicketKey.Create() with { Id = Keys.Keys[0].Id };
        Assert.Equal(TicketFault.Forged, TicketFormat.Read(TicketFormat.Write(Alice, other), Keys, Now, default, out _));
        Assert.Equal(TicketFault.UnknownKey,
            TicketFormat.Read(TicketFormat.Write(Alice, other with { Id = ~Keys.Keys[0].Id }), Keys, Now, default, out _));
        Assert.Equal(TicketFault.UnknownKey,
            TicketFormat.Read(TicketFormat.Write(Alice, Keys.Keys[0]), TicketDocument.Empty, Now, default, out _));
    }

    [Fact]
    public void Ticket_ends_at_its_time()
    {
        var bytes = TicketFormat.Write(Alice, Keys.Keys[0]);
        Assert.Equal(TicketFault.None, TicketFormat.Read(bytes, Keys, Alice.ExpiresAt - TimeSpan.FromMilliseconds(1), default, out _));
        Assert.Equal(TicketFault.Expired, TicketFormat.Read(bytes, Keys, Alice.ExpiresAt, default, out _));
    }

    [Fact]
    public void Kind_that_does_not_exist_is_refused()
    {
        Assert.Equal(TicketFault.Malformed,
            TicketFormat.Read(TicketFormat.Write(Alice with { Kind = TicketKind.None }, Keys.Keys[0]), Keys, Now, default, out _));
        Assert.Equal(TicketFault.Malformed,
            TicketFormat.Read(TicketFormat.Write(Alice with { Kind = (TicketKind)3 }, Keys.Keys[0]), Keys, Now, default, out _));
    }

    [Fact]
    public void Replaced_secret_is_good_until_it_is_replaced_again()
    {
        var bytes = TicketFormat.Write(Alice, Keys.Keys[0]);
        var next = Keys.WithNewKey();
        Assert.Equal(TicketFault.None, TicketFormat.Read(bytes, next, Now, default, out _));
        Assert.NotEqual(Keys.Keys[0].Id, next.Keys[0].Id);
        Assert.Equal(TicketFault.DroppedKey, TicketFormat.Read(bytes, next.WithNewKey(), Now, default, out _));
        Assert.Equal(TicketFault.DroppedKey, TicketFormat.Read(bytes, next.WithoutOldKeys(), Now, default, out _));
        Assert.Same(Keys, Keys.WithoutOldKeys());
    }

    [Fact]
    public void Bound_ticket_is_good_at_its_target_alone()
    {
        var broker = new Ticket(TicketKind.Broker, "broker-1", Now + TimeSpan.FromMinutes(5));
        var bytes = TicketFormat.WriteBound(broker, Keys.Keys[0], "grain"u8);
        Assert.True(TicketFormat.IsBound(bytes));
        Assert.Equal(TicketFault.None, TicketFormat.Read(bytes, Keys, Now, "grain"u8, out var read));
        Assert.Equal(broker, read);
        foreach (var other in new[] { "", "Grain", "grai", "grain1", new string('g', 1_000) })
            Assert.Equal(TicketFault.Forged, TicketFormat.Read(bytes, Keys, Now, Encoding.UTF8.GetBytes(other), out _));
        var longest = new byte[1_000];
        Assert.Equal(TicketFault.None,
            TicketFormat.Read(TicketFormat.WriteBound(broker, Keys.Keys[0], longest), Keys, Now, longest, out _));
        // As of the other version.
        bytes[0] = 1;
        Assert.Equal(TicketFault.Forged, TicketFormat.Read(bytes, Keys, Now, "grain"u8, out _));
    }

    [Fact]
    public void Client_makes_tickets_that_are_good_at_one_target_until_they_or_the_session_end()
    {
        var (session, secret) = TicketFormat.WriteSession(Alice, Keys.Keys[0]);
        var until = Now + TimeSpan.FromMinutes(5);
        var bytes = TicketFormat.Prove(session, secret, until, "grain"u8);
        Assert.True(TicketFormat.IsBound(bytes));
        Assert.Equal(TicketFault.None, TicketFormat.Read(bytes, Keys, Now, "grain"u8, out var read));
        Assert.Equal(Alice with { ExpiresAt = until }, read);
        Assert.Equal(TicketFault.Expired, TicketFormat.Read(bytes, Keys, until, "grain"u8, out _));
        foreach (var other in new[] { "", "Grain", "grai", "grain1", new string('g', 1_000) })
            Assert.Equal(TicketFault.Forged, TicketFormat.Read(bytes, Keys, Now, Encoding.UTF8.GetBytes(other), out _));
        foreach (var late in new[] { Alice.ExpiresAt + TimeSpan.FromTicks(TimeSpan.TicksPerDay), DateTimeOffset.MaxValue })
        {
            Assert.Equal(TicketFault.None, TicketFormat.Read(TicketFormat.Prove(session, secret, late, "g"u8), Keys, Now, "g"u8, out read));
            Assert.Equal(Alice, read);
        }
        Assert.Equal(TicketFault.Expired,
            TicketFormat.Read(TicketFormat.Prove(session, secret, DateTimeOffset.MinValue, "g"u8), Keys, Now, "g"u8, out _));
    }

    [Fact]
    public void Nothing_that_a_ticket_shows_makes_another()
    {
        var (session, secret) = TicketFormat.WriteSession(Alice, Keys.Keys[0]);
        var bytes = TicketFormat.Prove(session, secret, Now + TimeSpan.FromMinutes(5), "grain"u8);
        for (var i = 0; i < bytes.Length; i++)
        {
            for (var bit = 0; bit < 8; bit++)
            {
                var changed = (byte[])bytes.Clone();
                changed[i] ^= (byte)(1 << bit);
                Assert.NotEqual(TicketFault.None, TicketFormat.Read(changed, Keys, Now, "grain"u8, out var read));
                Assert.Null(read);
            }
        }
        for (var length = 0; length < bytes.Length; length++)
            Assert.NotEqual(TicketFault.None, TicketFormat.Read(bytes.AsSpan(0, length), Keys, Now, "grain"u8, out _));
        // As of the other versions; and what is good at every grain has not the session's secret in it.
        foreach (byte version in new byte[] { 1, 2 })
            Assert.Equal(TicketFault.Forged, TicketFormat.Read([version, .. bytes.AsSpan(1)], Keys, Now, "grain"u8, out _));
        var unbound = TicketFormat.Write(Alice, Keys.Keys[0]);
        Assert.NotEqual(secret, unbound[^secret.Length..]);
        Assert.NotEqual(TicketFault.None, TicketFormat.Read(TicketFormat.Prove(session, unbound.AsSpan(^secret.Length..),
            Now + TimeSpan.FromMinutes(5), "other"u8), Keys, Now, "other"u8, out _));
        // A session of one principal makes no ticket of another, nor of a broker.
        var (others, _) = TicketFormat.WriteSession(Alice with { Principal = "User:root" }, Keys.Keys[0]);
        Assert.Equal(TicketFault.Forged, TicketFormat.Read(TicketFormat.Prove(others, secret, Now + TimeSpan.FromMinutes(5), "grain"u8),
            Keys, Now, "grain"u8, out _));
        var (brokers, itsSecret) = TicketFormat.WriteSession(Alice with { Kind = TicketKind.Broker }, Keys.Keys[0]);
        Assert.Equal(TicketFault.Malformed, TicketFormat.Read(TicketFormat.Prove(brokers, itsSecret, Now + TimeSpan.FromMinutes(5),
            "grain"u8), Keys, Now, "grain"u8, out _));
    }

    [Fact]
    public void Target_cannot_take_bytes_of_the_ticket()
    {
        // Both have the same bytes one after the other.
        var bytes = TicketFormat.WriteBound(new Ticket(TicketKind.Broker, "b", Now + TimeSpan.FromMinutes(5)), Keys.Keys[0], "grain"u8);
        byte[] moved = [(byte)'n', .. bytes];
        Assert.NotEqual(TicketFault.None, TicketFormat.Read(moved, Keys, Now, "grai"u8, out _));
        Assert.NotEqual(TicketFault.None, TicketFormat.Read(bytes.AsSpan(1), Keys, Now, [.. "grain"u8, bytes[0]], out _));
    }

    [Fact]
    public void Brokers_ticket_without_a_target_is_good_only_under_a_key_of_an_earlier_version()
    {
        var broker = new Ticket(TicketKind.Broker, "broker-1", Now + TimeSpan.FromMinutes(5));
        Assert.Equal(TicketFault.Unbound,
            TicketFormat.Read(TicketFormat.Write(broker, Keys.Keys[0]), Keys, Now, "grain"u8, out var refused));
        Assert.Null(refused);
        const string Stored = """{"version":1,"id":"0f8fad5b-d9cb-469f-a165-70867728950e","keys":[{"id":7,"secret":"AAAA"}]}""";
        var before = JsonSerializer.Deserialize(Stored, SecurityJson.Default.TicketDocument)!;
        Assert.False(before.Keys[0].IsBound);
        Assert.Empty(before.Dropped);
        Assert.Equal(TicketFault.None, TicketFormat.Read(TicketFormat.Write(broker, before.Keys[0]), before, Now, "grain"u8, out _));
        Assert.Equal(TicketFault.None,
            TicketFormat.Read(TicketFormat.WriteBound(broker, before.Keys[0], "grain"u8), before, Now, "grain"u8, out _));
        Assert.False(before.Keys[0].HasSessions);
        var replaced = before.WithNewKey();
        Assert.True(replaced.Keys[0] is { IsBound: true, HasSessions: true });
        var stored = JsonSerializer.Deserialize(JsonSerializer.SerializeToUtf8Bytes(replaced.WithoutOldKeys(),
            SecurityJson.Default.TicketDocument), SecurityJson.Default.TicketDocument)!;
        Assert.True(Assert.Single(stored.Keys).IsBound);
        Assert.Equal(7u, Assert.Single(stored.Dropped));
        // A broker reads the key; a client would wait for nothing.
        Assert.Equal(TicketFault.UnknownKey, TicketFormat.Read(TicketFormat.Write(broker, before.Keys[0]), stored, Now, default, out _));
        Assert.Equal(TicketFault.DroppedKey, TicketFormat.Read(TicketFormat.Write(Alice, before.Keys[0]), stored, Now, default, out _));
    }

    [Fact]
    public void Principal_that_is_too_long_or_no_text_has_no_ticket()
    {
        var longest = new string('a', TicketFormat.MaxPrincipalBytes);
        Assert.True(TicketFormat.CanName(longest));
        var (session, secret) = TicketFormat.WriteSession(Alice with { Principal = longest }, Keys.Keys[0]);
        Assert.Equal(TicketFormat.MaxBytes, TicketFormat.Prove(session, secret, Now, "grain"u8).Length);
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
