import { render } from 'preact';
import './style.css';
import { askEarly } from './api';
import { App } from './app';
import { listen } from './keys';
import { route } from './router';
import { answered, start } from './store';
import { VIEWS } from './views';

/** How long the first drawing waits for answers. The daemon is near mostly, and to draw once what is there costs less than to
 * draw that nothing is there, and then all of it. What stands in index.html is on the screen until then. */
const FIRST_MS = 100;

start();
const asked = askEarly(VIEWS.find((v) => v.name === route.value.view)?.first?.() ?? []);
const late = new Promise((resolve) => setTimeout(resolve, FIRST_MS));
void Promise.race([Promise.all([answered, asked]), late]).then(() => {
  const root = document.getElementById('app');
  if (root) {
    root.replaceChildren(); // what stood there until now
    render(<App />, root);
  }
  listen();
});
