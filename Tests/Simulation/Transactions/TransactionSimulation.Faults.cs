using OrleansMq.Api;

namespace OrleansMq.Tests.Simulation.Transactions;

// Faults.
internal sealed partial class TransactionSimulation
{
    private void Fault()
    {
        if (Quiet)
        {
            EndFaults();
            return;
        }
        After((Scenario.FaultEveryMs / 2) + Next(Scenario.FaultEveryMs), Fault);
        var id = Choose([.. _documents.Keys]);
        switch (Next(16))
        {
            case 0 or 1:
                Crash(id);
                break;
            case 2:
                Pause(id);
                break;
            case 3:
                // Starts another coordinator although this one is healthy: the directory was wrong.
                Depose(id);
                break;
            case 4:
                _storeDownUntil = Now + Next(20, 800);
                if (IsTraced)
                    Tell($"the store is DOWN until {_storeDownUntil}");
                break;
            case 5 or 6 or 7:
                Choose(_partitions).ChangeLeader(Next(1, 300));
                break;
            case 8 when _groups.Count > 0:
                Choose(_groups).Stop(Next(1, 300));
                break;
            case 9:
                PauseClient();
                break;
            case 10:
                if (Live() is [_, ..] live)
                    Choose(live).End("it is KILLED");
                break;
            case 11:
                StartClient(id);
                break;
            case 12 when Scenario.RecreatesTopics:
                Recreate();
                break;
            case 13 when Chance(30):
                AskCoordinator(new AbortTransaction(id, new TransactionCaller("an operator")), null, null, new CoordinatorCall(), _ => { });
                break;
            case 14 when Scenario.RestoresClaims:
                RestoreClaim(id);
                break;
            default:
                // All at once.
                Crash(id);
                Choose(_partitions).ChangeLeader(Next(1, 100));
                break;
        }
    }

    private void EndFaults()
    {
        foreach (var id in _documents.Keys)
        {
            // What was left open ends with its timeout, or by the next instance.
            if (Chance(50) && !Live().Any(client => client.Id == id))
                StartClient(id);
        }
    }

    private List<SimulatedClient> Live() => _clients.FindAll(client => client.IsAlive);

    private void Crash(string id)
    {
        if (!_current.TryGetValue(id, out var coordinator))
            return;
        if (IsTraced)
            Tell($"{coordinator} CRASHES");
        Stop(coordinator);
    }

    private void Pause(string id)
    {
        if (!_current.TryGetValue(id, out var coordinator) || coordinator.PausedUntil > Now)
            return;
        coordinator.PausedUntil = Now + Next(20, Scenario.MostPauseMs);
        if (IsTraced)
            Tell($"{coordinator} is PAUSED until {coordinator.PausedUntil}");
        // It resumes beside its successor, or before it was missed.
        if (Chance(75))
            After(Next(20, 500), () => Depose(coordinator));
    }

    private void Depose(string id)
    {
        if (_current.TryGetValue(id, out var coordinator))
            Depose(coordinator);
    }

    private void Depose(SimulatedCoordinator coordinator)
    {
        if (_current.GetValueOrDefault(coordinator.Id) != coordinator)
            return;
        _current.Remove(coordinator.Id);
        if (IsTraced)
            Tell($"{coordinator} is declared dead");
    }

    private void PauseClient()
    {
        if (Live() is not [_, ..] live)
            return;
        var client = Choose(live);
        client.PausedUntil = Math.Min(Now + Next(20, 2 * Scenario.TimeoutMs), FaultsEndAt);
        if (IsTraced)
            Tell($"{client} is PAUSED until {client.PausedUntil}");
        if (Chance(40))
            After(Next(50, 500), () => StartClient(client.Id));
    }

    private void Recreate()
    {
        var partition = Choose(_partitions);
        partition.Delete();
        _partitions.Remove(partition);
        var next = CreatePartition(partition.Topic);
        if (IsTraced)
            Tell($"{partition} is DELETED, and created again as {next}");
    }
}
