using OrleansMq.Grains.Replication;

namespace OrleansMq.Tests.Cluster.Membership;

public sealed class ProcessProofTests
{
    private readonly ProcessProof _proof = new();
    private TimeSpan _now = TimeSpan.FromSeconds(100);

    [Fact]
    public void Process_that_refuses_four_times_in_a_row_is_gone_after_150_milliseconds()
    {
        _proof.OnConnected();
        _proof.OnClosed(_now);
        Assert.Equal(_now, _proof.NextAttempt);
        var begin = _now;
        for (var refusal = 1; refusal < EndpointProbe.Refusals; refusal++)
        {
            Refuse();
            Assert.Equal(ProcessState.Refused, _proof.State);
        }
        Refuse();
        Assert.Equal(ProcessState.Gone, _proof.State);
        Assert.Equal(TimeSpan.FromMilliseconds(150), _now - begin);
    }

    [Fact]
    public void Process_never_reached_is_never_gone()
    {
        for (var refusal = 0; refusal < 100; refusal++)
            Refuse();
        Assert.Equal(ProcessState.Unknown, _proof.State);
    }

    [Fact]
    public void Silence_proves_nothing_and_resets_the_count()
    {
        _proof.OnConnected();
        _proof.OnClosed(_now);
        for (var refusal = 1; refusal < EndpointProbe.Refusals; refusal++)
            Refuse();
        _proof.OnUnclear(_now);
        Assert.Equal(ProcessState.Unknown, _proof.State);
        for (var refusal = 1; refusal < EndpointProbe.Refusals; refusal++)
        {
            Refuse();
            Assert.Equal(ProcessState.Refused, _proof.State);
        }
        Refuse();
        Assert.Equal(ProcessState.Gone, _proof.State);
    }

    [Fact]
    public void Process_that_accepts_after_a_closed_connection_is_alive()
    {
        _proof.OnConnected();
        _proof.OnClosed(_now);
        Refuse();
        Refuse();
        _proof.OnConnected();
        _proof.OnClosed(_now);
        Refuse();
        Refuse();
        Assert.Equal(ProcessState.Refused, _proof.State);
    }

    [Theory]
    // One other silo over a network: its refusal is the only evidence.
    [InlineData("rG", "0")]
    // One of two.
    [InlineData("rG rC", "0")]
    // Both at once, or two of three: more likely this machine's own network failed.
    [InlineData("rG rG", "")]
    [InlineData("rG rR", "")]
    [InlineData("rG rG rC", "")]
    [InlineData("rG rG rC rC", "0 1")]
    // A refusal by this machine's kernel is always believed, and proves nothing about the network.
    [InlineData("lG lG", "0 1")]
    [InlineData("lG rG rG", "0")]
    [InlineData("lG rG rC", "0 1")]
    // Neither a single refusal nor silence is proof.
    [InlineData("lR lU lC rU", "")]
    public void Believed_state_follows_the_observations(string silos, string expected)
    {
        var watched = silos.Split(' ').Select((silo, index) => (index, silo[0] == 'l', silo[1] switch
        {
            'G' => ProcessState.Gone,
            'R' => ProcessState.Refused,
            'C' => ProcessState.Connected,
            _ => ProcessState.Unknown,
        })).ToList();
        Assert.Equal(expected, string.Join(' ', ProcessProof.Believed(watched)));
    }

    private void Refuse()
    {
        if (_proof.NextAttempt != TimeSpan.Zero)
            _now = _proof.NextAttempt;
        _proof.OnRefused(_now);
    }
}
