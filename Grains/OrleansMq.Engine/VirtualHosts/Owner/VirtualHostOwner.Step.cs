namespace OrleansMq.VirtualHosts;

internal sealed partial class VirtualHostOwner
{
    /// <summary>A command that waits.</summary>
    /// <param name="Decide">Decides on it; null to delete the virtual host.</param>
    private sealed record Request(Func<VirtualHostState, HostDecision>? Decide)
    {
        public TaskCompletionSource<VirtualHostAnswer> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>Commands that are stored together: any number with one write each at most, or one with several writes.</summary>
    private sealed class Step(VirtualHostState start, int most)
    {
        private readonly List<(Request Request, TopologyDecision? Decision, bool IsChanged, Exception? Fault)> _done = [];
        private readonly HashSet<int> _shards = [];
        private readonly List<int> _ordered = [];

        /// <summary>The working state after the commands.</summary>
        public VirtualHostState Next { get; private set; } = start;

        /// <summary>What changes, in order.</summary>
        public List<TopologyEdit> Edits { get; } = [];

        /// <summary>The shards to write at any time.</summary>
        public List<int> Later { get; } = [];

        /// <summary>Whether the virtual host's own document is written, before the shards.</summary>
        public bool WritesHost { get; private set; }

        /// <summary>Whether the shards are written one after the other.</summary>
        public bool IsOrdered { get; private set; }

        /// <summary>Whether the virtual host is deleted.</summary>
        public bool Deletes { get; private set; }

        /// <summary>The shards to write before the answers.</summary>
        public IEnumerable<int> Shards => IsOrdered ? _ordered : _shards;

        /// <summary>Adds a command.</summary>
        /// <returns>Whether it was added; false if it belongs to the next step.</returns>
        public bool TryAdd(Request request)
        {
            if (IsOrdered || Deletes || _done.Count >= most)
                return false;
            if (request.Decide is not { } decide)
            {
                if (_done.Count > 0)
                    return false;
                Deletes = true;
                _done.Add((request, null, true, null));
                return true;
            }
            HostDecision decision;
            try
            {
                decision = decide(Next);
            }
            catch (Exception fault) // The command's own fault: its caller has it, and nothing changed.
            {
                _done.Add((request, null, false, fault));
                return true;
            }
            if (decision.Topology.Refusal is { } refusal)
            {
                _done.Add((request, null, false, new AmqpRefusedException(refusal)));
                return true;
            }
            return TryAdd(request, decision);
        }

        /// <summary>Answers all commands.</summary>
        public void Answer(long version)
        {
            foreach (var (request, decision, isChanged, fault) in _done)
            {
                if (fault is not null)
                    request.Answer.TrySetException(fault);
                else
                    request.Answer.TrySetResult(new VirtualHostAnswer
                    {
                        Version = version,
                        IsChanged = isChanged,
                        Queue = decision?.Queue,
                    });
            }
        }

        /// <summary>Tells all commands that their outcome is unknown. Refusals may rest on what is not stored.</summary>
        public void Fail(BrokerException unknown)
        {
            foreach (var (request, _, _, _) in _done)
                request.Answer.TrySetException(unknown);
        }

        private bool TryAdd(Request request, HostDecision decision)
        {
            var topology = decision.Topology;
            var writesHost = !ReferenceEquals(decision.Settings, Next.Settings);
            if (topology.WritesBefore.Length + (writesHost ? 1 : 0) > 1)
            {
                if (_done.Count > 0)
                    return false;
                IsOrdered = true;
                _ordered.AddRange(topology.WritesBefore);
            }
            _shards.UnionWith(topology.WritesBefore);
            WritesHost |= writesHost;
            Later.AddRange(topology.WritesLater);
            Edits.AddRange(topology.Edits);
            Next = new VirtualHostState(decision.Settings, topology.Next);
            _done.Add((request, topology, writesHost || !topology.Edits.IsEmpty, null));
            return true;
        }
    }
}
