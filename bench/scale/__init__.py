"""The operator on 5,000 volumes and 1,000 simulated nodes: a control plane of its own, and kwok for the kubelets."""
