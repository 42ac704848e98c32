import { render } from 'preact';
import './style.css';
import { App } from './app';
import { listen } from './keys';
import { start } from './store';

const root = document.getElementById('app');
if (root) {
  root.replaceChildren(); // what stood there until now
  render(<App />, root);
}
listen();
start();
